package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"

	"tasq.local/handler/tasq"
)

func picture(width, height int) *image.RGBA {
	all := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			all.Set(x, y, color.RGBA{255, 0, 0, 255})
		}
	}
	return all
}

func TestShrinks(t *testing.T) {
	var asPNG, asJPEG bytes.Buffer
	png.Encode(&asPNG, picture(400, 200))
	jpeg.Encode(&asJPEG, picture(100, 300), nil)
	for _, c := range []struct {
		payload       []byte
		width, height int
	}{{asPNG.Bytes(), 128, 64}, {asJPEG.Bytes(), 42, 128}} {
		result, failure := tasq.Run(c.payload)
		if failure != nil {
			t.Fatal(failure)
		}
		small, err := png.Decode(bytes.NewReader(result))
		if err != nil || small.Bounds().Dx() != c.width || small.Bounds().Dy() != c.height {
			t.Fatalf("got %v, %v", small.Bounds(), err)
		}
		if r, g, _, a := small.At(1, 1).RGBA(); r < 0xf000 || g > 0x0fff || a != 0xffff {
			t.Errorf("got the colour %v", small.At(1, 1))
		}
	}
}

func TestLeavesASmallOneAsItIs(t *testing.T) {
	if small := shrink(picture(3, 2), 128); small.Bounds() != image.Rect(0, 0, 3, 2) {
		t.Errorf("got %v", small.Bounds())
	}
}

// A head that promises so many pixels.
func bomb(side uint32) []byte {
	head := append([]byte("IHDR"), make([]byte, 13)...)
	binary.BigEndian.PutUint32(head[4:], side)
	binary.BigEndian.PutUint32(head[8:], side)
	head[12], head[13] = 8, 6
	all := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)
	return binary.BigEndian.AppendUint32(all, crc32.ChecksumIEEE(head))
}

func TestDiscardsWhatItCannotShow(t *testing.T) {
	for _, c := range []struct {
		payload []byte
		code    string
	}{{nil, "invalid-payload"}, {[]byte("text"), "invalid-payload"}, {bomb(10), "invalid-payload"}, {bomb(60000), "too-large"}} {
		if result, failure := tasq.Run(c.payload); failure == nil || !failure.Discarded() || failure.Code != c.code {
			t.Errorf("%d bytes: got %d, %v", len(c.payload), len(result), failure)
		}
	}
}
