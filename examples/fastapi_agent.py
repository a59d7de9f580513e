"""A FastAPI agent with a memory per conversation and a streamed answer. Run it:

    pip install fastapi
    uvicorn --app-dir examples fastapi_agent:app --workers 2
    curl -N -H "x-openclaw-session-key: my-chat" -H "content-type: application/json" \
        -d '{"text": "hello"}' http://127.0.0.1:8000/chat
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from sessionguard import SessionGuard, get_resolution

TRANSCRIPTS = Path(gettempdir()) / "fastapi-agent"

app = FastAPI()
app.add_middleware(SessionGuard, require_key=["/chat"])


class Message(BaseModel):
    text: str


@app.post("/chat")
def chat(message: Message, request: Request) -> StreamingResponse:
    """Remember what was said in this conversation and answer word by word."""
    transcript = TRANSCRIPTS / f"{request.state.session_id}.txt"
    transcript.parent.mkdir(exist_ok=True)
    with transcript.open("a") as file:
        file.write(message.text + "\n")
    said = transcript.read_text().splitlines()

    def words() -> Iterator[str]:
        yield f"I remember {len(said)} of your messages. "
        yield f"The first was: {said[0]}\n"

    return StreamingResponse(words(), media_type="text/plain")


@app.get("/whoami")
def whoami(request: Request) -> dict[str, str]:
    """Say how this request came by its session."""
    resolution = get_resolution(request.scope)
    return {"session_key": resolution.session_key or "", "origin": resolution.origin.value}
