from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from console.home import CHECKOUT, Home
from console.stack import supervisord
from console.stack.programs import Doors, StackProgram, control_plane, redis

GOLDEN = Path(__file__).parent / "testdata" / "supervisord.conf"
HOME = Home(Path("/srv/100% it's"), Path("/srv/runtimes"))
DOORS = Doors("127.0.0.1", 8000, 8080)


def test_the_configuration_is_the_golden_file() -> None:
    config = supervisord.render(HOME, control_plane(HOME, DOORS, "/usr/bin/redis-server"), 1024)
    config = config.replace(sys.executable, "/PYTHON").replace(str(CHECKOUT), "/CHECKOUT")
    config = re.sub(r'LAUNCH_DIGEST="[0-9a-f]{32}"', 'LAUNCH_DIGEST="DIGEST"', config)  # of paths of this machine
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(config)
    assert config == GOLDEN.read_text()


def test_it_listens_on_a_socket_file_of_the_owner_and_on_no_port() -> None:
    config = supervisord.render(HOME, [], 1024)
    assert "inet_http_server" not in config
    assert "chmod=0700" in config


def test_a_changed_command_changes_the_program_and_nothing_else_does() -> None:
    first = redis(HOME, "/usr/bin/redis-server")
    assert first.digest() == redis(HOME, "/usr/bin/redis-server").digest()
    assert first.digest() != redis(HOME, "/opt/redis-server").digest()


def test_launch_files_are_written_before_anything_starts_and_are_the_owners(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "runtimes")
    program = StackProgram("web", ("/bin/true", "%(x)s"), home.run / "web", {"A": "b"})
    supervisord.write(home, [program])
    path = home.run / "stack" / "web.json"
    assert json.loads(path.read_text())["argv"] == ["/bin/true", "%(x)s"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert "%(x)s" not in home.supervisor_conf.read_text()
    assert program.cwd.is_dir()


def test_our_programs_are_told_the_same_home_and_ports() -> None:
    web = next(program for program in control_plane(HOME, DOORS, "redis-server") if program.name == "web")
    assert web.env["CONSOLE_HOME"] == "/srv/100% it's"
    assert web.env["GATEWAY_PORT"] == "8080"
    assert web.argv[web.argv.index("--port") + 1] == "8000"


def test_redis_listens_on_no_port_and_keeps_what_it_accepted() -> None:
    argv = redis(HOME, "redis-server").argv
    options = dict(zip(argv[1::2], argv[2::2], strict=True))
    assert options["--port"] == "0"
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "no", "with everysec it answers before it writes, while a sync runs"
    assert options["--unixsocketperm"] == "700"
