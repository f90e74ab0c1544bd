"""The card and its picture, ours and what people wrote on the Hub, when a checkpoint is pushed."""

import pytest
from huggingface_hub import ModelCard

from .conftest import HAND, PNG
from .server import HubServer

REPO = "org/shop"


@pytest.fixture
def hub(emptied_hub) -> HubServer:
    return emptied_hub


def test_the_picture_of_the_training_goes_along(hub, push, folder):
    push()
    (folder / "curve.png").write_bytes(PNG)
    code, more = push()
    assert (code, set(more["changed"])) == (0, {"curve.png", "README.md"})
    assert hub.files(REPO)["curve.png"] == PNG
    assert "](curve.png)" in hub.files(REPO)["README.md"].decode()
    assert push()[1]["changed"] == []


def test_words_written_on_the_hub_survive(hub, push):
    push()
    card = hub.files(REPO)["README.md"].decode()
    hub.commit(REPO, {"README.md": card + "\n## From the web\n\nWritten there.\n"})
    code, done = push()
    assert code == 0
    assert not done["committed"]
    assert "Written there." in hub.files(REPO)["README.md"].decode()


def test_metadata_set_on_the_hub_survives(hub, push, folder):
    """Keys and tags that are added there stay; where both sides set one, this one wins aloud."""
    push()
    card = hub.files(REPO)["README.md"].decode()
    added = card.replace("\n---\n", "\n- mine\nlicense: mit\n---\n", 1)
    hub.commit(REPO, {"README.md": added})
    code, done = push()
    assert (code, done["changed"], push.log) == (0, [], [])
    hub.commit(REPO, {"README.md": added.replace("- mine\n", "- mine\n- gru4rec\n")})
    (folder / "curve.png").write_bytes(PNG)
    code, done = push()
    assert set(done["changed"]) == {"curve.png", "README.md"}
    data = ModelCard(hub.files(REPO)["README.md"].decode()).data.to_dict()
    assert data["license"] == "mit"
    # The tag of another architecture would list the model as one.
    assert set(data["tags"]) >= {"mine", "sasrec"}
    assert "gru4rec" not in data["tags"]
    local = folder / "README.md"
    local.write_text(local.read_text().replace("---\n", "---\nlicense: apache-2.0\n", 1))
    push()
    assert ["license" in line and "replaces that of" in line for line in push.log] == [True]
    assert "license: apache-2.0" in hub.files(REPO)["README.md"].decode()


def test_a_card_wholly_written_by_hand_survives(hub, push, folder):
    hub.add_repo(REPO, {"README.md": HAND})
    assert push()[0] == 0
    card = hub.files(REPO)["README.md"].decode()
    assert ("Written on the web." in card, "license: mit" in card, "seqzoo:gen" in card) == (
        True,
    ) * 3
    assert push()[1]["changed"] == []
    assert push.log == []
    local = folder / "README.md"
    local.write_text(local.read_text() + "\nOther words.\n")
    hub.commit(REPO, {"README.md": HAND})
    push()
    assert ["hand-written text" in line and hub.head(REPO) not in line for line in push.log] == [
        True
    ]
    card = hub.files(REPO)["README.md"].decode()
    assert ("Other words." in card, "license: mit" in card, "web" in card) == (True, True, False)


@pytest.mark.parametrize("card", ["", "---\nlicense: mit\n---\n"])
def test_the_card_of_a_new_repository_is_not_text(hub, push, folder, card):
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nMy words.\n")
    hub.add_repo(REPO, {"README.md": card})
    assert (push()[0], push.log) == (0, [])
    after = hub.files(REPO)["README.md"].decode()
    assert ("license: mit" in after, "My words." in after) == (bool(card), True)


def test_a_card_on_the_hub_that_cannot_be_read(hub, push):
    hub.add_repo(REPO, {"README.md": "---\n- a\n---\n"})
    code, message = push()
    assert (code, message.count("\n")) == (2, 1)
    assert "README.md of org/shop" in message
    assert "correct the text between the lines of dashes" in message
    hub.commit(REPO, {"README.md": HAND})
    hub.faults.add("README.md", kind="hang-up", method=None, times=None)
    code, message = push()
    assert (code, message.count("\n"), "try again" in message) == (2, 1, True), message
    hub.faults.clear()
    hub.commit(REPO, {"README.md": None, "README.md/a.txt": "x"})
    code, message = push()
    assert (code, "README.md is a folder" in message, message.count("\n")) == (2, True, 1)
    assert len(hub.repo(REPO).history()) == 4


@pytest.mark.parametrize("name", ["curve.png", "README.md"])
def test_links_to_foreign_files_are_not_followed(hub, push, folder, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_bytes(PNG)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    code, message = push()
    assert (code, f"{name} is a link out of" in message) == (2, True), message
    (folder / name).unlink()
    (folder / "curve.png").write_bytes(b"\x89PNG no picture")
    code, message = push()
    assert (code, "draw it again or remove it" in message) == (2, True), message
    assert not hub.store.repos
