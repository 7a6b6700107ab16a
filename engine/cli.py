"""The command line: parse, call, print; nothing else. What a command does is in `engine.commands`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from engine.commands import COMMANDS
from spaces.errors import EngineError, UnknownName, UsageError


class _Parser(argparse.ArgumentParser):
    """Leaves printing to us: errors and help are raised."""

    def __init__(self, prog: str, **texts: str) -> None:
        super().__init__(prog, add_help=False, allow_abbrev=False, **texts)  # type: ignore[arg-type]
        self.add_argument("-h", "--help", action=_AskForHelp, nargs=0, help="show this help and exit")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


class _AskForHelp(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        raise _HelpWanted(parser.format_help().rstrip())


class _HelpWanted(Exception):
    """Somebody asked for the text it carries."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    from engine.results.output import show, tell

    try:
        show(_answer(sys.argv[1:] if arguments is None else arguments))
        return 0
    except EngineError as error:
        tell("engine: error: " + " ".join(str(error).split()))
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        tell(f"engine: interrupted{interrupt}")
        return 130


def _answer(arguments: Sequence[str]) -> str:
    try:
        options = _parse(arguments)
    except _HelpWanted as wanted:
        return str(wanted)
    answer: str = options.call(options)
    return answer


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        raise UnknownName("command", name, COMMANDS)
    parser, used = _parser(name)
    options, unknown = parser.parse_known_args(arguments)
    for argument in unknown:
        if not argument.startswith("-"):
            if (rest := getattr(options, "gathered", None)) is not None:  # what came behind an option
                getattr(options, rest).append(argument)
                continue
            raise UsageError(f"{argument!r} is one argument too many; see `{used.prog} --help`")
        raise UnknownName("option", argument.partition("=")[0], set(re.findall(r"--[\w-]+", used.format_help())))
    return options


def _parser(wanted: str | None) -> tuple[_Parser, _Parser]:
    """The parser of everything and that of one command, the only one whose options are there."""
    parser = used = _Parser(
        prog="engine",
        description="Find good neural architectures without training them.",
        epilog="`engine COMMAND --help` shows the options of a command.",
    )
    parser.add_argument("--version", action="store_true", help="show versions and exit")
    parser.set_defaults(call=_versions_or_help, parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, summary in COMMANDS.items():
        added: _Parser = commands.add_parser(name, help=summary, description=summary)
        if name == wanted:
            command = import_module(f"engine.commands.{name}")
            command.add(added)
            added.set_defaults(call=command.call)
            used = added
    return parser, used


def _versions_or_help(options: argparse.Namespace) -> str:
    if not options.version:
        return str(options.parser.format_help().rstrip())
    from engine.run_folder import current_versions

    return "\n".join(f"{name} {version}" for name, version in current_versions().items())


def script() -> None:
    """Entry point of the `engine` console script."""
    import signal

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # μ on an ASCII terminal
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's way to say Ctrl-C
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and written: a second Ctrl-C has nothing to stop
    sys.exit(code)


if __name__ == "__main__":
    script()
