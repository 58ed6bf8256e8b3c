/* Charts of one device, stacked on one time axis: samples, episodes, forecast, limit, log lines, starts of the device. */
"use strict";

(() => {
  const WHOLE = /_(total|count)$/; // metrics that count things: no half ones on the axis
  const AXIS = 58; // px left of every plot, so that all of them line up
  const LEVELS = { debug: 0, info: 1, warning: 2, error: 3, critical: 4 };
  const FOLLOW_MS = 10000;

  const colour = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  };
  const palette = () => Object.fromEntries(
    ["soft", "line", "accent", "bad", "warn-fill", "bad-fill", "off-fill"].map((name) => [name, colour(name)]));
  const faint = (rgb, alpha) => rgb.replace(/^rgb\(/, "rgba(").replace(/\)$/, `, ${alpha})`);

  const scaled = (value, sign) => {
    if (value == null || !Number.isFinite(value)) return "–";
    if (value < 0) return `−${scaled(-value, sign)}`;
    if (sign === "%") return `${Number((value * 100).toPrecision(3))} %`;
    if (sign === "s" && Math.abs(value) >= 120) {
      const [size, name] = [[86400, "days"], [3600, "h"], [60, "min"]].find(([size]) => Math.abs(value) >= 2 * size);
      return `${Number((value / size).toPrecision(3))} ${name}`;
    }
    if (sign === "s" && value !== 0 && Math.abs(value) < 0.1) return `${Number((value * 1000).toPrecision(3))} ms`;
    const steps = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
    const step = steps.find(([size]) => Math.abs(value) >= size * (sign.startsWith("B") ? 1 : 10));
    const text = step ? `${Number((value / step[0]).toPrecision(3))} ${step[1]}` : `${Number(value.toPrecision(4))}`;
    return sign ? (step ? text + sign : `${text} ${sign}`) : text;
  };
  /* Times are UTC, and written as the rest of the page writes them: 24 Nov, 20:43. */
  const format = (parts) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...parts });
  const dayName = format({ month: "short", day: "numeric" });
  const hourName = format({ hour: "2-digit", minute: "2-digit" });
  const stamp = { format: (ms) => `${dayName.format(ms)} ${hourName.format(ms)} UTC` };
  /* One line of labels: days, or hours with the day where a new one begins. */
  const dates = (u, splits, axis, space, step) => splits.map((ms, i) => {
    const day = dayName.format(ms);
    return step >= 43200000 || i === 0 || day !== dayName.format(splits[i - 1]) ? day : hourName.format(ms);
  });

  const get = async (url) => {
    const response = await fetch(url, { headers: { Accept: "application/json" } });
    if (response.status === 401) location.assign("/sign-in");
    if (!response.ok) throw new Error(`${response.status} ${url}`);
    return response.json();
  };

  class Board {
    constructor(box) {
      this.box = box;
      this.device = box.dataset.device;
      this.home = [Number(box.dataset.from), Number(box.dataset.to)];
      [this.from, this.to] = this.home;
      this.sync = uPlot.sync(`board-${this.device}`);
      this.plots = new Map();
      this.company = new Map();
      this.figures = [...box.querySelectorAll("figure")];
    }

    async load() {
      const base = `/api/v1/devices/${encodeURIComponent(this.device)}`;
      const window_ = `from=${Math.round(this.from)}&to=${Math.round(this.to)}`;
      const metrics = this.figures.filter((f) => f.dataset.metric);
      const [line, ...series] = await Promise.all([
        get(`${base}/timeline?${window_}`),
        ...metrics.map((f) => get(`${base}/series?metric=${encodeURIComponent(f.dataset.metric)}&${window_}`)),
      ]);
      this.line = line;
      this.end = this.withForecast(line, metrics.map((f) => f.dataset.metric));
      metrics.forEach((figure, i) => this.draw(figure, series[i]));
      this.drawLane(this.box.querySelector("[data-lane]"));
      this.loadCompany(base, window_, metrics);
    }

    /* The band of the others of the model comes after the lines, and anew only when the view has moved a little. */
    loadCompany(base, window_, metrics) {
      const seen = this.seen ?? [0, 0], length = this.to - this.from;
      if (Math.abs(this.from - seen[0]) + Math.abs(this.to - seen[1]) < length / 48) return;
      this.seen = [this.from, this.to];
      for (const figure of metrics) {
        get(`${base}/company?metric=${encodeURIComponent(figure.dataset.metric)}&${window_}`).then((band) => {
          this.company.set(figure.dataset.metric, band);
          const plot = this.plots.get(figure);
          plot?.setData(plot.data);
        }).catch(() => this.company.delete(figure.dataset.metric)); // the lines are worth showing without it
      }
    }

    /* The right edge: now, or as much of the forecast as leaves the past two thirds of the width. */
    withForecast(line, metrics) {
      if (this.to < Date.now() - 3600000 || this.from !== this.home[0]) return this.to;
      const ends = line.forecasts.filter((f) => metrics.includes(f.metric) && f.median_ms).map((f) => f.high_ms ?? f.median_ms);
      return Math.min(Math.max(this.to, ...ends), this.to + (this.to - this.from) / 2);
    }

    options(figure, height, extra) {
      const p = palette();
      const board = this;
      const axis = { stroke: p.soft, grid: { stroke: p.line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
      return {
        width: Math.max(240, figure.clientWidth - 28), height, ms: 1, pxAlign: 1, tzDate: (ms) => uPlot.tzDate(new Date(ms), "UTC"),
        legend: { show: false },
        cursor: { sync: { key: this.sync.key, setSeries: false }, y: false, points: { size: 6 }, drag: { x: true, y: false, setScale: false } },
        scales: { x: { time: true, range: () => [board.from, board.end] }, ...extra.scales },
        axes: [{ ...axis, size: 26, space: 80, values: dates }, { ...axis, size: AXIS, ...extra.yAxis }],
        series: [{}, ...extra.series],
        hooks: {
          setSelect: [(u) => { if (u.select.width > 6) board.zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false); }],
          ready: [(u) => u.over.addEventListener("dblclick", () => board.zoom(...board.home))],
          ...extra.hooks,
        },
      };
    }

    draw(figure, series) {
      const name = figure.dataset.metric;
      const p = palette();
      const forecast = this.line.forecasts.find((f) => f.metric === name && f.median_ms);
      const now = figure.querySelector(".now");
      const last = series.value.at(-1);
      const rest = series.value.length ? `now ${scaled(last, series.unit)}` : "no sample in this span";
      now.textContent = rest;
      const limit = forecast?.limit ?? null;
      const range = (u, low, high) => {
        if (low == null || high == null) { low = limit ?? 0; high = limit ?? 1; }
        if (limit != null && this.end > this.to) { low = Math.min(low, limit); high = Math.max(high, limit); }
        [low, high] = withBand(low, high, this.company.get(name));
        const pad = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
        return [low >= 0 && low - pad < 0 ? 0 : low - pad, high + pad];
      };
      const options = this.options(figure, 160, {
        scales: { y: { range } },
        yAxis: { values: (u, ticks) => ticks.map((v) => scaled(v, series.unit)), space: 34, incrs: WHOLE.test(name) ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6, 1e7] : undefined },
        series: [{ stroke: p.accent, width: 1.5, points: { show: series.t_ms.length < 60, size: 4 }, spanGaps: false }],
        hooks: {
          drawClear: [(u) => { this.paintEpisodes(u, name, p); this.paintCompany(u, this.company.get(name), p); }],
          draw: [(u) => { this.paintBirths(u, p); this.paintForecast(u, forecast, middle(series.value.slice(-15)), series.unit, p); }],
          setCursor: [(u) => {
            const i = u.cursor.idx;
            now.textContent = i == null || u.cursor.left < 0 || u.data[1][i] == null ? rest : `${scaled(u.data[1][i], series.unit)} at ${stamp.format(u.data[0][i])}`;
          }],
        },
      });
      this.put(figure, options, gaps(series));
      table(figure.querySelector(".table"), series);
    }

    drawLane(figure) {
      const p = palette();
      const tones = [p["off-fill"], p["off-fill"], p["warn-fill"], p["bad-fill"], p["bad-fill"]];
      const marks = this.line.logs;
      const t = marks.map((m) => m[0]), level = marks.map((m) => LEVELS[m[1]] ?? 1);
      const loud = level.filter((l) => l >= 3).length;
      figure.querySelector(".now").textContent = marks.length ? `${marks.length} lines${loud ? `, ${loud} errors` : ""}` : "none in this span";
      const options = this.options(figure, 92, {
        scales: { y: { range: [-0.6, 4.6] } },
        yAxis: { splits: () => [0.5, 2, 3.5], values: () => ["info", "warning", "error"], grid: { show: false } },
        series: [{ stroke: p.soft, paths: () => null, points: { show: false } }],
        hooks: {
          draw: [(u) => {
            const width = Math.max(1.5, devicePixelRatio);
            marks.forEach((mark, i) => {
              const x = u.valToPos(t[i], "x", true), y = u.valToPos([0.2, 0.5, 2, 3.5, 3.8][level[i]], "y", true);
              u.ctx.fillStyle = tones[level[i]];
              u.ctx.fillRect(x - width / 2, y - 5 * devicePixelRatio, width, 10 * devicePixelRatio);
            });
            this.paintBirths(u, p);
          }],
        },
      });
      this.put(figure, options, [t.length ? t : [this.from], t.length ? level : [null]]);
    }

    put(figure, options, data) {
      const plot = figure.querySelector(".plot");
      this.plots.get(figure)?.destroy();
      plot.classList.remove("waiting");
      this.plots.set(figure, new uPlot(options, data, plot));
    }

    paintEpisodes(u, metric, p) {
      const { ctx, bbox } = u;
      ctx.save();
      for (const e of this.line.episodes.filter((e) => e.metric === metric || e.metric === "")) {
        const left = Math.max(bbox.left, u.valToPos(e.onset_ms, "x", true));
        const right = Math.min(bbox.left + bbox.width, u.valToPos(e.end_ms ?? this.to, "x", true));
        if (right <= left) continue;
        ctx.fillStyle = faint(p["bad-fill"], 0.07);
        ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height);
        ctx.fillStyle = e.metric ? p["bad-fill"] : faint(p["bad-fill"], 0.4);
        ctx.fillRect(left, bbox.top, Math.max(3, right - left), 3 * devicePixelRatio);
      }
      ctx.restore();
    }

    paintCompany(u, band, p) {
      if (!band?.devices || !band.t_ms.length) return;
      const { ctx, bbox } = u;
      const x = band.t_ms.map((ms) => u.valToPos(ms, "x", true)), y = (values) => values.map((v) => u.valToPos(v, "y", true));
      const low = y(band.low), high = y(band.high), mid = y(band.middle);
      ctx.save();
      ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
      ctx.fillStyle = faint(p.soft, 0.16);
      ctx.beginPath();
      x.forEach((at, i) => ctx.lineTo(at, high[i]));
      for (let i = x.length - 1; i >= 0; i -= 1) ctx.lineTo(x[i], low[i]);
      ctx.closePath(); ctx.fill();
      ctx.strokeStyle = faint(p.soft, 0.65); ctx.lineWidth = devicePixelRatio;
      ctx.beginPath(); x.forEach((at, i) => ctx.lineTo(at, mid[i])); ctx.stroke();
      ctx.restore();
    }

    paintBirths(u, p) {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.strokeStyle = p.soft;
      ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      for (const at of this.line.births) {
        const x = u.valToPos(at, "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
      }
      ctx.restore();
    }

    paintForecast(u, f, last, unit, p) {
      if (!f || f.limit == null || last == null) return;
      const { ctx, bbox } = u;
      const y0 = u.valToPos(last, "y", true), y1 = u.valToPos(f.limit, "y", true);
      const x = (ms) => u.valToPos(ms, "x", true);
      const start = x(this.to);
      ctx.save();
      ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
      if (f.low_ms && f.high_ms && this.end > this.to) {
        ctx.fillStyle = faint(p["warn-fill"], 0.32);
        ctx.beginPath(); ctx.moveTo(start, y0); ctx.lineTo(x(f.low_ms), y1); ctx.lineTo(x(f.high_ms), y1); ctx.closePath(); ctx.fill();
      }
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
      if (this.end > this.to) { ctx.strokeStyle = p["warn-fill"]; ctx.beginPath(); ctx.moveTo(start, y0); ctx.lineTo(x(f.median_ms), y1); ctx.stroke(); }
      ctx.strokeStyle = p["bad-fill"];
      ctx.beginPath(); ctx.moveTo(bbox.left, y1); ctx.lineTo(bbox.left + bbox.width, y1); ctx.stroke();
      ctx.fillStyle = p.bad; ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      const below = y1 - bbox.top < 16 * devicePixelRatio;
      ctx.textAlign = "left"; ctx.textBaseline = below ? "top" : "bottom";
      ctx.fillText(`limit ${scaled(f.limit, unit)}`, bbox.left + 6 * devicePixelRatio, y1 + (below ? 3 : -3) * devicePixelRatio);
      if (this.end > this.to) {
        ctx.setLineDash([]); ctx.lineWidth = devicePixelRatio; ctx.strokeStyle = p.soft;
        ctx.beginPath(); ctx.moveTo(start, bbox.top); ctx.lineTo(start, bbox.top + bbox.height); ctx.stroke();
      }
      ctx.restore();
    }

    zoom(from, to) {
      [this.from, this.to] = [from, to];
      this.load().catch(report);
    }

    follow() {
      if (document.hidden || this.from !== this.home[0] || this.to !== this.home[1]) return;
      const length = this.to - this.from;
      this.home = [this.from, this.to] = [Date.now() - length, Date.now()];
      this.load().catch(report);
    }
  }

  /* The axis takes the band of others in, but the device's own line keeps a third of the height. */
  const withBand = (low, high, band) => {
    if (!band?.devices || !band.t_ms.length) return [low, high];
    const room = 2 * Math.max(high - low, Math.abs(high) * 1e-3);
    return [Math.max(Math.min(low, ...band.low), low - room), Math.min(Math.max(high, ...band.high), high + room)];
  };

  const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

  /* A break in the line where samples are missing for more than eight usual steps. */
  const gaps = ({ t_ms, value }) => {
    if (t_ms.length < 3) return [t_ms, value];
    const steps = t_ms.slice(1).map((t, i) => t - t_ms[i]).sort((a, b) => a - b);
    const longest = 8 * steps[Math.floor(steps.length * 0.5)];
    const t = [], v = [];
    t_ms.forEach((at, i) => {
      if (i && at - t_ms[i - 1] > longest) { t.push(t_ms[i - 1] + 1); v.push(null); }
      t.push(at); v.push(value[i]);
    });
    return [t, v];
  };

  /* The same values as a table of at most 24 rows, for readers who do not see the chart. */
  const table = (box, { t_ms, value, unit }) => {
    const rows = Math.min(24, t_ms.length), out = document.createElement("table");
    out.insertAdjacentHTML("beforeend", "<thead><tr><th>From</th><th>Least</th><th>Mean</th><th>Most</th></tr></thead><tbody></tbody>");
    for (let r = 0; r < rows; r += 1) {
      const from = Math.floor((r * t_ms.length) / rows), to = Math.floor(((r + 1) * t_ms.length) / rows);
      const part = value.slice(from, to);
      const cells = [stamp.format(t_ms[from]), ...[Math.min(...part), part.reduce((a, b) => a + b, 0) / part.length, Math.max(...part)].map((v) => scaled(v, unit))];
      const row = out.tBodies[0].insertRow();
      for (const cell of cells) row.insertCell().textContent = cell;
    }
    box.replaceChildren(out);
  };

  const report = (error) => {
    for (const plot of document.querySelectorAll(".plot.waiting")) { plot.classList.remove("waiting"); plot.textContent = `The chart could not be loaded: ${error.message}`; }
  };

  document.addEventListener("DOMContentLoaded", () => {
    const boards = [...document.querySelectorAll("[data-charts]")].map((box) => new Board(box));
    const all = () => boards.forEach((board) => board.load().catch(report));
    all();
    let pending = 0, width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; clearTimeout(pending); pending = setTimeout(all, 150); } });
    document.addEventListener("bf:theme", all);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
    for (const board of boards) if ("follow" in board.box.dataset) setInterval(() => board.follow(), FOLLOW_MS);
  });
})();
