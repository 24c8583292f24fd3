"""The page: static files from the package, never from anywhere else."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "web"
router = APIRouter(include_in_schema=False)


@router.get("/")
async def index() -> Response:
    return FileResponse(FOLDER / "index.html", headers={"cache-control": "no-cache"})


def mount(app: FastAPI) -> None:
    app.include_router(router)
    app.mount("/page", StaticFiles(directory=FOLDER), name="page")
