package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/httppipe/httppipe/pipeline"
)

// One goroutine sends all requests, and reads whenever a send is suspended. It
// never deadlocks, however many requests there are.
func ExampleConn_Send() {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<h1>%s</h1>", r.URL.Path)
	}))
	defer origin.Close()
	ctx := context.Background()
	conn, err := pipeline.Dial(ctx, origin.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	readResponse := func() {
		resp, err := conn.ReadResponse(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		content, err := io.ReadAll(conn)
		fmt.Println(resp.Target, resp.StatusCode, string(content), err)
	}

	for i := range 3 {
		send := conn.Send(&pipeline.Request{Target: fmt.Sprintf("/file_%d.html", i)})
		for send.Next() {
			readResponse() // response data is available
		}
		if err := send.Err(); err != nil {
			fmt.Println(err)
			return
		}
	}
	for conn.Pending() {
		readResponse()
	}
	// Output:
	// /file_0.html 200 <h1>/file_0.html</h1> <nil>
	// /file_1.html 200 <h1>/file_1.html</h1> <nil>
	// /file_2.html 200 <h1>/file_2.html</h1> <nil>
}

// Content is written as much at a time as fits, whenever the connection is
// writable.
func ExampleConn_TryWrite() {
	origin := httptest.NewServer(http.HandlerFunc(echo))
	defer origin.Close()
	ctx := context.Background()
	conn, err := pipeline.Dial(ctx, origin.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	readResponse := func() {
		resp, _ := conn.ReadResponse(ctx)
		content, err := io.ReadAll(conn)
		fmt.Println(resp.StatusCode, string(content), err)
	}

	buf := []byte("all the content")
	send := conn.Send(&pipeline.Request{Method: "PUT", Target: "/", ContentLength: int64(len(buf))})
	for range send.Each {
		readResponse()
	}
	for len(buf) > 0 {
		ready, err := conn.Poll(ctx, pipeline.Readable|pipeline.Writable)
		if err != nil {
			fmt.Println(err)
			return
		}
		if ready&pipeline.Readable != 0 {
			readResponse()
		}
		if ready&pipeline.Writable != 0 {
			n, err := conn.TryWrite(buf)
			if err != nil {
				fmt.Println(err)
				return
			}
			buf = buf[n:]
		}
	}
	for conn.Pending() {
		readResponse()
	}
	// Output: 200 all the content <nil>
}

// SendFile sends content from any reader, and by sendfile(2) from a file.
func ExampleConn_SendFile() {
	origin := httptest.NewServer(http.HandlerFunc(echo))
	defer origin.Close()
	ctx := context.Background()
	conn, err := pipeline.Dial(ctx, origin.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	readResponse := func() {
		resp, _ := conn.ReadResponse(ctx)
		content, err := io.ReadAll(conn)
		fmt.Println(resp.StatusCode, string(content), err)
	}

	for _, content := range []string{"first", "second"} {
		request := &pipeline.Request{Method: "PUT", Target: "/", ContentLength: int64(len(content))}
		for range conn.Send(request).Each {
			readResponse()
		}
		file := conn.SendFile(strings.NewReader(content))
		for range file.Each {
			readResponse()
		}
		if err := file.Err(); err != nil {
			fmt.Println(err)
			return
		}
	}
	for conn.Pending() {
		readResponse()
	}
	// Output:
	// 200 first <nil>
	// 200 second <nil>
}

func echo(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }
