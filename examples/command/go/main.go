// Counts lines, words and characters: teaches that any program is a handler, and how one discards and snoozes.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

const discard = 65 // bad data: never again

type counts struct {
	Lines      int `json:"lines"`
	Words      int `json:"words"`
	Characters int `json:"characters"`
}

func main() {
	text, err := io.ReadAll(os.Stdin)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case len(text) == 0:
		fmt.Fprintln(os.Stderr, "tasq: snooze 30s: nothing to count yet") // whatever the status, the last line decides
		os.Exit(1)
	case !utf8.Valid(text):
		fmt.Fprintln(os.Stderr, "no UTF-8")
		os.Exit(discard)
	}
	found := counts{bytes.Count(text, []byte("\n")), len(bytes.Fields(text)), utf8.RuneCount(text)}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		os.Exit(1)
	}
}
