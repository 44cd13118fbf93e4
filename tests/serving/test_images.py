"""Reading photos: every common kind works, anything else is one line with the file's name."""

import io
import os
import pathlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from serving.images import ImageError, find_photos, read_photo, unique_names


def picture(height=40, width=60):
    """A smooth colour picture, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    return np.uint8(np.round(255 * np.stack([x, y, (x + y) / 2], -1)))


RGB = Image.fromarray(picture())
GREY = np.asarray(RGB.convert("L"))


def exif_rotated():
    """The picture, stored turned, with the orientation that turns it back."""
    data = Image.Exif()
    data[0x0112] = 6
    return RGB.transpose(Image.Transpose.ROTATE_90), {"exif": data}


KINDS = {
    "rgb.png": (RGB, {}, 0),
    "rgb.jpg": (RGB, {"quality": 95}, 8),
    "grey.png": (RGB.convert("L"), {}, 1),
    "grey.jpg": (RGB.convert("L"), {"quality": 95}, 6),
    "grey_alpha.png": (RGB.convert("LA"), {}, 1),
    "rgba.png": (RGB.convert("RGBA"), {}, 0),
    "palette.png": (RGB.quantize(256), {}, 40),
    "palette.gif": (RGB.quantize(256), {}, 40),
    "cmyk.jpg": (RGB.convert("CMYK"), {"quality": 95}, 8),
    "cmyk.tif": (RGB.convert("CMYK"), {}, 1),
    "sixteen_bit.png": (Image.fromarray(GREY.astype(np.uint16) * 257), {}, 1),
    "sixteen_bit.tif": (Image.fromarray(GREY.astype(np.uint16) * 257), {}, 1),
    "float.tif": (Image.fromarray(GREY.astype(np.float32) / 255), {}, 1),
    "rotated.jpg": (*exif_rotated(), 30),
    "lossless.webp": (RGB, {"lossless": True}, 0),
    "plain.bmp": (RGB, {}, 0),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_the_same_upright_picture(name, tmp_path):
    image, options, tolerance = KINDS[name]
    image.save(tmp_path / name, **options)
    result = read_photo(tmp_path / name)
    grey = image.mode in ("L", "LA", "F") or image.mode.startswith("I")
    expected = np.repeat(GREY[..., None], 3, -1) if grey else np.asarray(RGB)
    assert result.dtype == np.uint8
    assert result.shape == expected.shape
    assert np.abs(result.astype(int) - expected).mean() <= tolerance / 2
    assert np.abs(result.astype(int) - expected).max() <= max(1, 2 * tolerance)


def test_transparent_parts_are_white(tmp_path):
    pixels = np.dstack([picture(), np.zeros((40, 60), np.uint8)])
    pixels[:, 30:, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    result = read_photo(tmp_path / "half.png")
    assert (result[:, :30] == 255).all()
    np.testing.assert_array_equal(result[:, 30:], picture()[:, 30:])


def encoded(file_format, **options):
    content = io.BytesIO()
    RGB.save(content, file_format, **options)
    return content.getvalue()


BAD = {
    "empty.jpg": (b"", "empty"),
    "text.jpg": (b"this is no picture\n" * 20, "not an image"),
    "zeros.png": (bytes(4096), "not an image"),
    "header_only.jpg": (encoded("JPEG")[:4], "not an image|damaged"),
    "truncated.jpg": (encoded("JPEG")[:700], "damaged image"),
    "truncated.png": (encoded("PNG")[:200], "damaged image"),
    "spoiled.png": (encoded("PNG")[:60] + bytes(40) + encoded("PNG")[100:], "damaged image"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line_with_their_name(name, tmp_path):
    content, reason = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_photo(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(1, 1), (4, 400), (400, 15)])
def test_pictures_too_small_for_a_face(size, tmp_path):
    Image.new("RGB", size).save(tmp_path / "tiny.png")
    with pytest.raises(ImageError, match=f"{size[0]} x {size[1]} px is too small"):
        read_photo(tmp_path / "tiny.png")


@pytest.mark.parametrize("side", [12_000, 40_000])
def test_huge_pictures_are_refused_before_they_are_decoded(side, tmp_path):
    path = tmp_path / "huge.png"
    Image.new("1", (side, side)).save(path)
    with pytest.raises(ImageError, match="megapixels"):
        read_photo(path)


def test_sides_too_long_to_be_warped_are_refused(tmp_path):
    Image.new("1", (32_768, 20)).save(tmp_path / "panorama.png")
    with pytest.raises(ImageError, match="a side may have 32000"):
        read_photo(tmp_path / "panorama.png")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_photo(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        read_photo(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        read_photo(tmp_path / "pipe.jpg")


@pytest.fixture
def secret(tmp_path):
    RGB.save(tmp_path / "secret.png")
    (tmp_path / "secret.png").chmod(0)
    return tmp_path / "secret.png"


def test_unreadable_files(secret, ordinary_user):
    with pytest.raises(ImageError, match="Permission denied"):
        read_photo(secret)


@pytest.fixture
def closed(tmp_path, monkeypatch):
    """The working folder: its subfolder lets nobody in."""
    RGB.save(tmp_path / "a.png")
    (tmp_path / "closed").mkdir(mode=0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return pathlib.Path("closed")


def test_closed_folders_are_listed_and_then_refused_by_name(closed, ordinary_user):
    found = find_photos(["."])
    assert found == [pathlib.Path("a.png"), closed]
    with pytest.raises(ImageError, match=r"closed: cannot be read \(Permission denied\)"):
        read_photo(closed)
    (inside,) = find_photos([closed / "b.jpg"])
    with pytest.raises(ImageError, match=r"b.jpg: cannot be read \(Permission denied\)"):
        read_photo(inside)


@pytest.mark.parametrize("name", ["loop.jpg", "a" * 300 + ".jpg"])
def test_impossible_paths_are_listed_and_then_refused_by_name(tmp_path, name):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    found = find_photos([tmp_path / name])
    assert found == [tmp_path / name]
    assert len(unique_names(found)) == 1
    with pytest.raises(ImageError, match=f"{name}: cannot be read"):
        read_photo(found[0])


@pytest.fixture
def folder(tmp_path):
    """A folder with photos, other files, hidden ones, a subfolder, results and a link to itself."""
    names = [
        "b.jpg",
        "a.PNG",
        "notes.txt",
        ".hidden.jpg",
        "sub/c.webp",
        ".cache/d.jpg",
        "out/e.png",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    return tmp_path


def test_a_folder_stands_for_its_photos(folder):
    found = find_photos([folder], leave_out=folder / "out")
    assert [str(path.relative_to(folder)) for path in found] == ["a.PNG", "b.jpg", "sub/c.webp"]


def test_files_named_themselves_are_always_taken_but_only_once(folder):
    named = [folder / "notes.txt", folder / "out" / "e.png", folder / "b.jpg"]
    found = find_photos([*named, folder, folder / "sub" / ".." / "b.jpg"], leave_out=folder / "out")
    assert found[:3] == named
    assert [path.name for path in found[3:]] == ["a.PNG", "c.webp"]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.jpg", "b.png"], ["a", "b"]),
        (["a.jpg", "a.png", "b.png"], ["a_jpg", "a_png", "b"]),
        (["x/a.jpg", "y/a.jpg", "a.gif"], ["x_a_jpg", "y_a_jpg", "a_gif"]),
        (["x/a.jpg", "z/x/a.jpg"], ["x_a_jpg_2", "x_a_jpg_3"]),
        (["A.jpg", "a.jpg"], ["A_jpg_2", "a_jpg_3"]),
        (["a.jpg", "a.png", "a_jpg.gif"], ["a_jpg_2", "a_png", "a_jpg"]),
    ],
)
def test_names_differ(paths, names):
    found = unique_names([pathlib.Path("/photos") / path for path in paths])
    assert len({name.lower() for name in found}) == len(paths)
    if "A.jpg" not in paths and "a_jpg.gif" not in paths:
        assert found == names


def swapped_profile():
    """An ICC profile whose red is sRGB's blue, and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"____"), (b"bXYZ", b"rXYZ"), (b"____", b"bXYZ")):
        profile = profile.replace(old, new, 1)
    return profile


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_follow_the_icc_profile(tmp_path, mode):
    red = Image.new("RGB", (32, 32), (255, 0, 0)).convert(mode)
    red.save(tmp_path / "swapped.png", icc_profile=swapped_profile())
    np.testing.assert_allclose(read_photo(tmp_path / "swapped.png")[0, 0], [0, 0, 255], atol=2)


def test_unusable_profiles_leave_the_colours(tmp_path):
    Image.new("RGB", (32, 32), (200, 30, 40)).save(tmp_path / "a.png", icc_profile=b"no profile")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png")[0, 0], [200, 30, 40])
