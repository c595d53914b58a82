package httppipe

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// answeredGet is a roundTrip as it is when a plain GET has been answered.
func answeredGet(t *testing.T) *roundTrip {
	req, err := http.NewRequest("GET", "http://origin.example/", nil)
	require.NoError(t, err)
	rt := new(Transport).newRoundTrip(req)
	rt.answered = &rt.first
	return rt
}

// What somebody may still look at is not used again.
func TestRoundTripIsUsedAgainIfNobodyKnowsIt(t *testing.T) {
	rt := answeredGet(t)
	rt.recycle()
	require.Nil(t, rt.t)
	for why, change := range map[string]func(rt *roundTrip){
		"its content is still to be read": func(rt *roundTrip) { rt.answered = nil },
		"another attempt was answered":    func(rt *roundTrip) { rt.answered = new(exchange) },
		"a dial was begun for it":         func(rt *roundTrip) { rt.first.dials = true },
		"it is being rescued":             func(rt *roundTrip) { rt.first.rescued = true },
		"it is being canceled":            func(rt *roundTrip) { rt.first.canceled.Store(true) },
		"it has a body":                   func(rt *roundTrip) { rt.out.body = new(requestBody) },
		"a trace has its gate":            func(rt *roundTrip) { rt.out.trace = new(httptrace.ClientTrace) },
	} {
		rt := answeredGet(t)
		change(rt)
		rt.recycle()
		require.NotNil(t, rt.t, why)
	}
}

// A response is its caller's, also when the memory of its RoundTrip serves others.
func TestResponseOutlivesItsRoundTrip(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Name", r.URL.Path)
		w.Header().Set("Trailer", "Last")
		io.WriteString(w, "content of "+r.URL.Path)
		w.Header().Set("Last", r.URL.Path)
	}))
	defer server.Close()
	tr := new(Transport)
	defer tr.CloseIdleConnections()
	var all sync.WaitGroup
	for caller := range 8 {
		all.Go(func() {
			var kept []*http.Response
			for i := range 50 {
				req, err := http.NewRequest("GET", fmt.Sprintf("%s/%d/%d", server.URL, caller, i), nil)
				if err != nil {
					panic(err)
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				kept = append(kept, resp)
			}
			for i, resp := range kept {
				name := fmt.Sprintf("/%d/%d", caller, i)
				content, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(content) != "content of "+name || resp.Header.Get("Name") != name ||
					resp.Trailer.Get("Last") != name || resp.Request.URL.Path != name {
					t.Errorf("%s: %q, %v, %v, %v", name, content, err, resp.Header, resp.Trailer)
				}
			}
		})
	}
	all.Wait()
}
