"""How a program is asked: its plan is JSON on the command line, then every line of its input names a method and its
arguments, and is answered by a line of JSON."""

import asyncio
import json
import logging
import sys

LONGEST_LINE = 2**24


async def answer(kind):
    """Build a `kind` and answer until whoever asks hangs up, so that no program outlives the benchmark."""
    logging.disable(logging.WARNING)  # That a directory is a temporary one is the point here.
    program = kind(**json.loads(sys.argv[1]))
    questions = asyncio.StreamReader(LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    while line := await questions.readline():
        verb, arguments = json.loads(line)
        print(json.dumps(await getattr(program, verb)(**arguments)), flush=True)
