package main

import (
	"testing"

	"tasq.local/handler/tasq"
)

func TestAdds(t *testing.T) {
	result, failure := tasq.Run(`{"arg1":5,"arg2":4}`)
	if failure != nil || string(result) != `{"result":9}` {
		t.Fatalf("got %s, %v", result, failure)
	}
}

func TestDiscardsWhatIsNotTwoNumbers(t *testing.T) {
	for _, bad := range []string{"{not json", "", "[1,2]", `{"arg1":5}`, `{"arg1":"x","arg2":2}`, `{"arg1":1e308,"arg2":1e308}`, "\xff"} {
		if result, failure := tasq.Run(bad); failure == nil || !failure.Discarded() {
			t.Errorf("%q: got %s, %v", bad, result, failure)
		}
	}
}
