// Seed-sendfile uploads ten files over one pipelined connection. The content is
// sent by a cofunction, and on Linux by sendfile(2): one goroutine sends all,
// and reads whenever a send is suspended.
//
// It takes no arguments: the files and the origin are parts of the program.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"

	"github.com/httppipe/httppipe/pipeline"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "seed-sendfile")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := makeFiles(dir)
	if err != nil {
		return err
	}
	var store store
	origin := httptest.NewServer(&store)
	defer origin.Close()

	if err := upload(context.Background(), origin.URL, files); err != nil {
		return err
	}
	return store.compare(files)
}

// upload uploads files to an origin, under their base names.
func upload(ctx context.Context, origin string, files []string) error {
	conn, err := pipeline.Dial(ctx, origin, nil)
	if err != nil {
		return err
	}
	defer conn.Close()

	readResponse := func() error {
		resp, err := conn.ReadResponse(ctx)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusNoContent {
			return fmt.Errorf("%s: %d %s", resp.Target, resp.StatusCode, resp.Reason)
		}
		return conn.Discard(ctx)
	}
	resume := func(send *pipeline.Cofunc) error {
		for send.Next() {
			if err := readResponse(); err != nil {
				return err
			}
		}
		return send.Err()
	}

	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		request := &pipeline.Request{
			Method: "PUT", Target: "/" + filepath.Base(name), ContentLength: info.Size(),
		}
		if err := resume(conn.Send(request)); err != nil {
			return err
		}
		if err := resume(conn.SendFile(file)); err != nil {
			return err
		}
	}

	// All requests sent, now read the rest of the responses.
	for conn.Pending() {
		if err := readResponse(); err != nil {
			return err
		}
	}
	return nil
}

// makeFiles makes ten files, of different sizes, of which no two pieces are the
// same. One of them is empty.
func makeFiles(dir string) (files []string, err error) {
	for i := range 10 {
		name := filepath.Join(dir, fmt.Sprintf("file_%d.tgz", i))
		var content bytes.Buffer
		for sum := sha256.Sum256([]byte(name)); content.Len() < i<<18; sum = sha256.Sum256(sum[:]) {
			content.Write(sum[:])
		}
		if err := os.WriteFile(name, content.Bytes(), 0o600); err != nil {
			return nil, err
		}
		files = append(files, name)
	}
	return files, nil
}

// A store is an origin that keeps what is PUT there.
type store struct {
	mu    sync.Mutex
	files map[string][]byte // by path
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = make(map[string][]byte)
	}
	s.files[r.URL.Path] = content
	w.WriteHeader(http.StatusNoContent)
}

// compare compares what was uploaded with the files.
func (s *store) compare(files []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range files {
		want, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		got, ok := s.files["/"+filepath.Base(name)]
		if !ok || !bytes.Equal(got, want) {
			return fmt.Errorf("%s: %d octets have arrived, and not the right ones", filepath.Base(name), len(got))
		}
		fmt.Printf("%s: %d octets have arrived, as they should\n", filepath.Base(name), len(got))
	}
	return nil
}
