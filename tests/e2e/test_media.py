"""Images as a real Label Studio keeps them: uploaded, in a folder, in a storage."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from PIL import Image

from label_studio_al.cli.local import LocalLabelStudio
from label_studio_al.labeling.media import media_key
from label_studio_al.pool.pictures import decode
from label_studio_al.runtime.errors import ImageUnusable
from label_studio_al.runtime.hosts import Reach
from label_studio_al.studio.api import Api
from label_studio_al.studio.media import Media
from label_studio_al.studio.transport import bounded_client
from tests.e2e.conftest import LOGIN
from tests.support.media import FileServer, file_server
from tests.support.studio import Annotator

pytestmark = pytest.mark.e2e

CONFIG = """
<View><Image name="image" value="$image"/>
<Choices name="kind" toName="image"><Choice value="A"/><Choice value="B"/></Choices></View>
"""
RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)
STORED = "s3://bucket/folder/x.png"


def png(color: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 40), color).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def storage() -> Iterator[FileServer]:
    """As an S3 storage answers whoever shows its signatures."""
    with file_server() as server:
        server.answers["/bucket"] = (200, {}, b"")
        server.answers["/bucket/folder/x.png"] = (200, {"Content-Type": "image/png"}, png(GREEN))
        yield server


@contextmanager
def media(label_studio: LocalLabelStudio, *hosts: str) -> Iterator[Media]:
    with bounded_client() as client:
        made = Media(Api(label_studio.url, LOGIN.token, client), Reach(hosts))
        yield made
        made.close()


def test_images_are_fetched_from_where_label_studio_keeps_them(
    admin: Annotator, label_studio: LocalLabelStudio, storage: FileServer
) -> None:
    project_id = int(admin.call("POST", "/api/projects/", {"title": "images", "label_config": CONFIG})["id"])
    upload = {"file": ("\u00e4 cat.png", png(BLUE), "image/png")}
    assert admin.client.post(f"/api/projects/{project_id}/import", files=upload).status_code == 201
    folder = label_studio.data_dir.parent / "files" / "photos"
    folder.mkdir(exist_ok=True)
    (folder / "\u00e4 b.png").write_bytes(png(RED))
    local = {"project": project_id, "path": str(folder), "use_blob_urls": True, "title": "local"}
    local_id = admin.call("POST", "/api/storages/localfiles/", local)["id"]
    admin.call("POST", f"/api/storages/localfiles/{local_id}/sync")
    bucket = {"project": project_id, "bucket": "bucket", "title": "bucket", "s3_endpoint": storage.url}
    keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "not a secret", "region_name": "eu-west-1"}
    bucket_id = admin.call("POST", "/api/storages/s3/", {**bucket, **keys, "presign": True})["id"]
    gone = ["/data/upload/1/gone.png", "/data/local-files/?d=photos/gone.png", "s3://bucket/gone.png"]
    admin.call("POST", f"/api/projects/{project_id}/import", [{"data": {"image": one}} for one in (STORED, *gone)])

    def listed(is_resolved: bool) -> dict[int, str]:
        query = f"project={project_id}&include=id,data&resolve_uri={str(is_resolved).lower()}"
        return {one["id"]: one["data"]["image"] for one in admin.call("GET", f"/api/tasks?{query}")["tasks"]}

    written, resolved = listed(False), listed(True)
    assert STORED in written.values()
    assert STORED not in resolved.values()
    assert {task_id: media_key(value) for task_id, value in resolved.items()} == written

    host = storage.url.removeprefix("http://")
    for values in (written, resolved):
        colors, reasons = set(), []
        with media(label_studio, host) as fetching:
            for task_id, value in values.items():
                try:
                    colors.add(decode(fetching.fetch(value, task_id)).getpixel((20, 20)))
                except ImageUnusable as exc:
                    reasons.append(exc.reason)
        assert colors == {RED, GREEN, BLUE}
        assert reasons == ["missing"] * len(gone)
    assert not [one for one in storage.asked if "Token" in one.headers.get("authorization", "")]

    task_id = next(task_id for task_id, value in written.items() if value == STORED)
    with media(label_studio) as fetching:
        with pytest.raises(ImageUnusable, match="name it in AL_MEDIA_HOSTS"):
            fetching.fetch(STORED, task_id)
        # Passed on by Label Studio itself.
        admin.call("PATCH", f"/api/storages/s3/{bucket_id}", {"presign": False})
        assert decode(fetching.fetch(STORED, task_id)).getpixel((20, 20)) == GREEN
