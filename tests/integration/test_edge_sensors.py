import pytest

from edge.sensors import host_sensors, reboot_reason

BLOCK = "100 0 2048 5 50 0 4096 9 0 {busy} 14\n"


@pytest.fixture
def root(tmp_path):
    """A machine of files."""

    def put(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    put("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\n")
    put("proc/loadavg", "0.50 0.4 0.3 1/100 1234\n")
    put("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 250 kB\nSwapTotal: 100 kB\nSwapFree: 60 kB\n")
    put("proc/uptime", "3600.55 100.0\n")
    put("proc/sys/fs/file-nr", "512 0 1000\n")
    put("proc/42/stat", "")
    put("proc/net/dev", "h\nh\n    lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n  eth0: 1000 9 1 2 0 0 0 0 500 9 3 4 0 0 0 0\n")
    put("proc/net/wireless", "h\nh\n wlan0: 0000   35.  -61.  -256        0      0      0      7      0        0\n")
    put("proc/cmdline", "quiet androidboot.bootreason=Watchdog,sd ro\n")
    put("sys/block/mmcblk0/stat", BLOCK.format(busy=1000))
    put("sys/block/mmcblk0/device/life_time", "0x01 0x03\n")
    put("sys/block/loop0/stat", BLOCK.format(busy=1000))
    put("sys/fs/ext4/mmcblk0p2/errors_count", "5\n")
    put("sys/class/thermal/thermal_zone0/temp", "48500\n")
    put("sys/class/power_supply/ac/type", "Mains\n")
    put("sys/class/power_supply/main/type", "Battery\n")
    put("sys/class/power_supply/main/capacity", "83\n")
    put("sys/class/power_supply/main/voltage_now", "5710000\n")
    put("sys/class/power_supply/main/charge_full", "1500000\n")
    put("sys/class/power_supply/main/charge_full_design", "2000000\n")
    return put, tmp_path


def read(sensors, now_s):
    return {name: value for sensor in sensors for name, value in sensor.read(now_s).items()}


def test_the_host_says_what_its_files_say(root):
    put, path = root
    names = ["cpu", "memory", "disk", "temperature", "network", "wifi", "battery", "system"]
    sensors = host_sensors(names, disk_path=path, root=path)
    first = read(sensors, 10.0)
    put("proc/stat", "cpu  160 0 120 815 5 0 0 0 0 0\n")
    put("proc/net/dev", "h\nh\n  eth0: 3000 9 1 2 0 0 0 0 1500 9 3 4 0 0 0 0\n")
    put("sys/block/mmcblk0/stat", "100 0 4096 5 50 0 4096 9 0 3500 14\n")

    second = read(sensors, 20.0)

    assert "cpu_busy_ratio" not in first  # a rate needs two readings
    expected = {
        "cpu_busy_ratio": 0.8, "cpu_iowait_ratio": 0.05, "load_1m_tasks": 0.5,
        "memory_available_bytes": 256000, "memory_available_ratio": 0.25, "swap_used_bytes": 40960,
        "disk_read_bytes_per_second": 104857.6, "disk_write_bytes_per_second": 0, "disk_busy_ratio": 0.25,
        "disk_io_errors_total": 5, "flash_wear_ratio": 0.3, "temperature_celsius": 48.5,
        "network_receive_bytes_per_second": 200, "network_transmit_bytes_per_second": 100,
        "network_errors_total": 4, "network_drops_total": 6,
        "wifi_quality_ratio": 0.5, "wifi_signal_dbm": -61, "wifi_retries_total": 7,
        "battery_level_ratio": 0.83, "battery_volts": 5.71, "battery_health_ratio": 0.75,
        "uptime_s": 3600, "process_count": 1, "open_files_count": 512,
    }  # fmt: skip
    for name, value in expected.items():
        assert second[name] == pytest.approx(value), name
    assert 0 < second["disk_free_ratio"] <= 1


def test_a_machine_without_a_thing_says_nothing_of_it(tmp_path):
    for folder in ("proc", "sys"):
        (tmp_path / folder).mkdir()
    sensors = host_sensors(["temperature", "wifi", "battery"], root=tmp_path)

    assert read(sensors, 1.0) == {}


def test_a_counter_that_goes_back_gives_no_rate(root):
    put, path = root
    sensors = host_sensors(["network"], root=path)
    read(sensors, 1.0)
    put("proc/net/dev", "h\nh\n  eth0: 10 9 1 2 0 0 0 0 1500 9 3 4 0 0 0 0\n")

    assert "network_receive_bytes_per_second" not in read(sensors, 2.0)


def test_the_reason_of_a_start_is_what_the_system_tells_else_what_the_last_run_left(root, tmp_path_factory):
    put, path = root
    bare = tmp_path_factory.mktemp("bare")

    assert reboot_reason(root=path, first=False, same_boot=True, clean=False) == "agent_died"
    assert reboot_reason(root=path, first=False, same_boot=True, clean=True) == "agent_restarted"
    assert reboot_reason(root=path, first=False, same_boot=False, clean=True) == "watchdog,sd"
    assert reboot_reason(root=bare, first=False, same_boot=False, clean=True) == "reboot"
    assert reboot_reason(root=bare, first=False, same_boot=False, clean=False) == "power_loss"
    assert reboot_reason(root=bare, first=True, same_boot=False, clean=False) == "first_start"
    put("sys/class/watchdog/watchdog0/bootstatus", "32\n")
    assert reboot_reason(root=path, first=False, same_boot=False, clean=True) == "watchdog"
    put("sys/fs/pstore/dmesg-0", "Oops\n")
    assert reboot_reason(root=path, first=False, same_boot=False, clean=True) == "kernel_panic"
