// Says of each Flux query on stdin (a JSON array) whether InfluxData's own parser and type checker accept it.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
const folder = process.argv[2];
const start = 'cachedInt32Memory0 = new Int32Array(wasm.memory.buffer);\ncachedUint8Memory0 = new Uint8Array(wasm.memory.buffer);';
const glue = fs.readFileSync(path.join(folder, 'flux-lsp-browser_bg.js'), 'utf8')
  .replace(start, '')
  .replace(/^import \* as wasm from .*$/m, `let wasm; export function begin(exports) { wasm = exports; ${start} }`);
const file = path.join(folder, 'glue.mjs');
fs.writeFileSync(file, glue);
const bg = await import(pathToFileURL(file));
const binary = fs.readFileSync(path.join(folder, 'flux-lsp-browser_bg.wasm'));
const { instance } = await WebAssembly.instantiate(binary, { './flux-lsp-browser_bg.js': bg });
bg.begin(instance.exports);
const queries = JSON.parse(fs.readFileSync(0, 'utf8'));
console.log(JSON.stringify(queries.map((query) => bg.is_valid_flux(query))));
