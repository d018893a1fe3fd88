"""H.264 whose frames are two field pictures each, in raw samples; x264 cannot encode such."""


class Bits:
    """Writer of a NAL unit's bits."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, value: int, bits: int) -> "Bits":
        """Append an unsigned number."""
        self.text += f"{value:0{bits}b}"
        return self

    def golomb(self, *values: int) -> "Bits":
        """Append unsigned Exp-Golomb codes; a signed 0 has the same."""
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def align(self, first: str = "") -> "Bits":
        """Append ``first`` and zeros up to a whole byte."""
        self.text += first
        self.text += "0" * (-len(self.text) % 8)
        return self

    def unit(self, header: int) -> bytes:
        """Return the NAL unit, with its start code; samples have no zero bytes that would need escapes."""
        self.align("1")
        return bytes([0, 0, 0, 1, header]) + int(self.text, 2).to_bytes(len(self.text) // 8)


def field_pictures(frames: int) -> bytes:
    """Return frames of 16x32, each an I field and a P field that holds I macroblocks (ITU-T H.264, 7.3)."""
    sequence = (
        Bits().put(77, 8).put(0, 8).put(20, 8).golomb(0, 0, 2, 1).put(0, 1)
    )  # Main, level 2, POC type 2
    sequence.golomb(0, 0).put(0, 1).put(0, 1).put(1, 1).put(0, 1).put(0, 1)  # one pair of macroblocks, fields
    picture = Bits().golomb(0, 0).put(0, 2).golomb(0, 0, 0).put(0, 3).golomb(0, 0, 0).put(0, 3)
    stream = sequence.unit(0x67) + picture.unit(0x68)
    for frame in range(frames):
        for bottom in (0, 1):
            is_first = frame == bottom == 0
            bits = Bits().golomb(0, 7, 0).put(frame % 16, 4).put(1, 1).put(bottom, 1)
            if is_first:
                bits.golomb(0).put(0, 2)  # idr_pic_id; keep output, short-term reference
            else:
                bits.put(0, 1)  # sliding window
            bits.golomb(0, 25).align()  # slice_qp_delta, I_PCM
            for value in [50 + 40 * frame] * 256 + [128] * 128:
                bits.put(value, 8)
            stream += bits.unit(0x65 if is_first else 0x61)
    return stream
