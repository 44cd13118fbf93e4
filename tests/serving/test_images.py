"""Reading photos: every common kind works, anything else is one line with the file's name."""

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from serving.images import ImageError, read_photo


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
    "twelve_of_sixteen_bits.png": (Image.fromarray(GREY.astype(np.uint16) * 16), {}, 3),
    "ten_of_sixteen_bits.tif": (Image.fromarray(GREY.astype(np.uint16) * 4), {}, 3),
    "rgb.heic": (RGB, {"quality": 95}, 10),
    "rgb.avif": (RGB, {"quality": 95}, 10),
    "rgb.jfif": (RGB, {"quality": 95}, 8),
    "rgb.jp2": (RGB, {"irreversible": False}, 0),
    "rgb.ico": (RGB, {"sizes": [RGB.size]}, 0),
    "rgb.mpo": (RGB, {"quality": 95}, 8),
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


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_colours_are_read_in_the_range_that_they_fill(tmp_path, bits, suffix):
    deep = np.round(picture() / 255.0 * (2**bits - 1)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f"deep.{suffix}"), deep[..., ::-1])
    np.testing.assert_allclose(read_photo(tmp_path / f"deep.{suffix}"), picture(), atol=1)


@pytest.mark.parametrize("brightest", [1.0, 1.5, 8.0])
def test_highlights_of_floats_are_cut_off_and_the_rest_keeps_its_brightness(tmp_path, brightest):
    values = GREY.astype(np.float32) / 255
    values[0, 0] = brightest
    Image.fromarray(values).save(tmp_path / "float.tif")
    found = read_photo(tmp_path / "float.tif")[..., 0]
    np.testing.assert_allclose(found[1:], GREY[1:], atol=1)
    assert found[0, 0] == 255


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
