// Makes an image small: teaches payloads and results that are raw bytes, a setting, and a limit on what is unpacked.
//
// The payload is a PNG, JPEG or GIF; the result is a PNG whose longer side has as many pixels as the setting `size` says, 128 by
// default. An image that is smaller stays as large as it is.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"
	_ "image/jpeg"
	"image/png"
	"log/slog"
	"strconv"

	"tasq.local/handler/tasq"
)

// A few kilobytes can unpack to gigabytes: larger images are refused unpacked.
const mostPixels = 8 << 20

func thumbnail(ctx context.Context, task tasq.Task, payload []byte) ([]byte, error) {
	size, err := wantedSize()
	if err != nil {
		return nil, err // a setting can be mended, so this is tried again
	}
	head, format, err := image.DecodeConfig(bytes.NewReader(payload))
	if err != nil {
		return nil, tasq.Discard(fmt.Errorf("not an image: %w", err)).WithCode("invalid-payload")
	}
	if head.Width <= 0 || head.Height <= 0 || head.Width > mostPixels/head.Height {
		return nil, tasq.Discard(fmt.Errorf("%d × %d pixels: expected at most %d", head.Width, head.Height, mostPixels)).WithCode("too-large")
	}
	picture, _, err := image.Decode(bytes.NewReader(payload))
	if err != nil {
		return nil, tasq.Discard(fmt.Errorf("a damaged %s: %w", format, err)).WithCode("invalid-payload")
	}
	tasq.Progress(50, "decoded")
	small := shrink(picture, size)
	slog.Info("shrunk", "format", format, "from", picture.Bounds().Size(), "to", small.Bounds().Size())
	var out bytes.Buffer
	err = png.Encode(&out, small)
	return out.Bytes(), err
}

func wantedSize() (int, error) {
	text, ok := tasq.Config("size")
	if !ok {
		return 128, nil
	}
	size, err := strconv.Atoi(text)
	if err != nil || size < 1 || size > 1024 {
		return 0, errors.New("size: expected 1 to 1024, found " + strconv.Quote(text))
	}
	return size, nil
}

// Each pixel is the mean of those that it stands for.
func shrink(from image.Image, size int) image.Image {
	bounds := from.Bounds()
	width, height := bounds.Dx(), bounds.Dy()
	longer := max(width, height, size)
	to := image.NewNRGBA64(image.Rect(0, 0, max(width*size/longer, 1), max(height*size/longer, 1)))
	columns, rows := to.Rect.Dx(), to.Rect.Dy()
	for y := range rows {
		for x := range columns {
			part := image.Rect(x*width/columns, y*height/rows, (x+1)*width/columns, (y+1)*height/rows)
			to.Set(x, y, mean(from, part.Add(bounds.Min)))
		}
	}
	return to
}

func mean(from image.Image, part image.Rectangle) color.RGBA64 {
	var red, green, blue, alpha uint64
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			r, g, b, a := from.At(x, y).RGBA()
			red, green, blue, alpha = red+uint64(r), green+uint64(g), blue+uint64(b), alpha+uint64(a)
		}
	}
	n := uint64(part.Dx() * part.Dy())
	return color.RGBA64{uint16(red / n), uint16(green / n), uint16(blue / n), uint16(alpha / n)}
}

func init() { tasq.Handle(thumbnail) }

func main() {} // never runs: the host calls the handler
