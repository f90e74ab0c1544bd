import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

# Several workers share the CPU: more threads than cores would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# pytest's workers set a width; what commands print here goes to pipes, which have none.
os.environ.pop("COLUMNS", None)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """A function from a data set's name to its real folder; skips where it is not there."""
    folder = Path(os.environ.get("SEQZOO_DATA") or REPOSITORY.parent / "shared" / "data")

    def find(name: str) -> Path:
        if not (folder / name).is_dir():
            pytest.skip(f"no real data: {folder / name} is not there (set SEQZOO_DATA)")
        return folder / name

    return find


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    home: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.home / ("Scripts" if os.name == "nt" else "bin") / "python")

    def run(
        self, *words: object, check: bool = True, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python; fails the test if the command fails, unless ``check`` is false."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [self.python, *map(str, words)],
            capture_output=True,
            text=True,
            cwd=cwd or self.home,
            env={**kept, "OMP_NUM_THREADS": "1", **variables},
        )
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done

    def pip(self, *words: object) -> None:
        """The real pip, without a look at any index: all that is needed is here."""
        self.run("-m", "pip", "--disable-pip-version-check", "-q", *words)

    def install(self, *folders: Path) -> None:
        """Install distributions from their folders."""
        self.pip("install", "--no-deps", "--no-build-isolation", *folders)

    def seqzoo(
        self, *words: object, check: bool = True, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run ``seqzoo``."""
        return self.run("-m", "seqzoo", *words, check=check, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def seqzoo_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository's seqzoo, built as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(REPOSITORY)], check=True)
    (wheel,) = folder.glob("seqzoo-*.whl")
    return wheel


@pytest.fixture(scope="session")
def environment(
    tmp_path_factory: pytest.TempPathFactory, seqzoo_wheel: Path
) -> Callable[[], Environment]:
    """Make a fresh environment with seqzoo; torch and the rest are those that are installed here.

    They are put on its path instead of being installed again, which takes minutes. seqzoo itself
    and every plugin are installed by pip.
    """

    def environment() -> Environment:
        home = tmp_path_factory.mktemp("environment") / "venv"
        venv.create(home, with_pip=True, symlinks=os.name != "nt")
        made = Environment(home)
        here = sysconfig.get_path("purelib")
        site = made.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout
        (Path(site.strip()) / "installed-here.pth").write_text(f"{here}\n")
        # The one that runs these tests is on the path too, and must not be taken for it.
        made.pip("install", "--no-deps", "--ignore-installed", seqzoo_wheel)
        return made

    return environment


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a display; skips where playwright or the browser is not there."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no chromium on the path")
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox does not start in many containers.
        found = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages that may ask nothing of other addresses and log no error."""
    pages: list[Any] = []
    trouble: list[str] = []

    def call(address: str, width: int = 1400, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        page = context.new_page()
        page.set_default_timeout(20_000)
        pages.append(context)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda said: said.type == "error" and trouble.append(said.text))
        own = urlsplit(address).netloc
        page.on(
            "request",
            lambda each: urlsplit(each.url).netloc == own or trouble.append(each.url),
        )
        page.goto(address)
        return page

    call.trouble = trouble  # type: ignore[attr-defined]
    yield call
    for context in pages:
        context.close()
    assert trouble == []
