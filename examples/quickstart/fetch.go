package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// fetchTimeout bounds one fetch, so that a server that never answers doesn't
// hold up the others for good.
const fetchTimeout = time.Minute

// A document is something to fetch and, where that is known, what must come back.
type document struct {
	url  string
	want []byte // nil if unknown
}

// A result is what became of one document. Its zero value says that the fetch
// was not finished.
type result struct {
	done   bool
	status int
	octets int64
	sum    [sha256.Size]byte // of the content
	err    error             // no complete response, or a wrong one
}

// fetchAll fetches docs with as many goroutines as there are callers, and calls
// progress after each, from those goroutines. Results are in the order of docs.
//
// Nothing here knows which transport the client has: this is what any program
// that uses net/http looks like.
func fetchAll(ctx context.Context, client *http.Client, docs []document, callers int, progress func()) []result {
	results := make([]result, len(docs))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(callers, len(docs)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(docs) {
					return
				}
				r := fetch(ctx, client, docs[i])
				if r.err != nil && ctx.Err() != nil {
					return // interrupted, which is not the document's fault
				}
				results[i] = r
				progress()
			}
		})
	}
	wg.Wait()
	return results
}

// fetch gets one document and compares it with what it must be.
func fetch(ctx context.Context, client *http.Client, doc document) result {
	r := result{done: true}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, doc.url, nil)
	if err != nil {
		r.err = err
		return r
	}
	resp, err := client.Do(req)
	if err != nil {
		r.err = err
		return r
	}
	defer resp.Body.Close()
	r.status = resp.StatusCode

	hash := sha256.New()
	var kept bytes.Buffer
	var sink io.Writer = hash
	if doc.want != nil {
		sink = io.MultiWriter(hash, &kept)
	}
	r.octets, r.err = io.Copy(sink, resp.Body)
	hash.Sum(r.sum[:0])
	if r.err == nil && doc.want != nil {
		r.err = compare(r.status, kept.Bytes(), doc)
	}
	return r
}

// compare says what is wrong with a response to doc, octet by octet.
func compare(status int, got []byte, doc document) error {
	switch {
	case status != http.StatusOK:
		return fmt.Errorf("%s: status %d, want 200", doc.url, status)
	case len(got) != len(doc.want):
		return fmt.Errorf("%s: %d octets, want %d", doc.url, len(got), len(doc.want))
	}
	for i := range got {
		if got[i] != doc.want[i] {
			return fmt.Errorf("%s: octet %d is %#02x, want %#02x", doc.url, i, got[i], doc.want[i])
		}
	}
	return nil
}
