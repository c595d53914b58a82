package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"
)

const usage = `Quickstart fetches documents three ways with the same code, and compares:
net/http as it comes, net/http on a few connections, and httppipe on as many.

  go run ./examples/quickstart                    its own web server, 50 ms away
  go run ./examples/quickstart URL...             these documents
  go run ./examples/quickstart -f urls.txt        those listed in a file

URLs are fetched once in each way, over HTTP/1.1, and reported one by one.
An answer such as 404 is an answer. The exit code is 1 if a fetch failed or its
content was wrong, 2 for a mistake on the command line, 130 after Ctrl-C.
They are those of the built program (go build); "go run" makes 1 of all but 0.

Options:
`

// options are what the command line says.
type options struct {
	conns, callers int
	roundTrip      time.Duration
	onlyPipe       bool
	urls           []string // none: demonstrate
}

// ways returns the ways of fetching that were asked for.
func (o *options) ways() []way {
	all := allWays(o.conns)
	if o.onlyPipe {
		return all[len(all)-1:]
	}
	return all
}

// parseOptions reads the command line. When there is nothing to run, the
// options are nil, what is to be said has been said, and code is the exit code.
func parseOptions(args []string, stdout, stderr io.Writer) (opts *options, code int) {
	opts = new(options)
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed below
	flags.IntVar(&opts.conns, "n", 2, "most `connections` to a host, for the latter two ways")
	flags.IntVar(&opts.callers, "c", 64, "`callers` that fetch at the same time")
	flags.DurationVar(&opts.roundTrip, "rtt", 50*time.Millisecond, "simulated round trip `time`, without URLs")
	flags.BoolVar(&opts.onlyPipe, "only", false, "fetch with httppipe only")
	list := flags.String("f", "", "read URLs from `file`, one a line; - is standard input; # starts a comment")
	flags.Usage = func() {}
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return nil, exitOK
	}
	if err == nil {
		err = opts.complete(flags.Args(), *list)
	}
	if err != nil {
		fmt.Fprintf(stderr, "quickstart: %v\n-h lists the options.\n", err)
		return nil, exitUsage
	}
	return opts, exitOK
}

// complete adds the URLs and checks everything.
func (o *options) complete(args []string, list string) error {
	switch {
	case o.conns < 1:
		return errors.New("-n must be at least 1")
	case o.callers < 1:
		return errors.New("-c must be at least 1")
	case o.roundTrip < 0:
		return errors.New("-rtt must not be negative")
	}
	o.urls = args
	if list != "" {
		listed, err := readList(list)
		if err != nil {
			return err
		}
		if o.urls = append(o.urls, listed...); len(o.urls) == 0 {
			return fmt.Errorf("%s: no URLs", list)
		}
	}
	for _, arg := range args {
		if len(arg) > 1 && arg[0] == '-' {
			return fmt.Errorf("%s: options go before URLs", arg)
		}
	}
	for _, u := range o.urls {
		if err := checkURL(u); err != nil {
			return err
		}
	}
	return nil
}

// readList returns the URLs in the file with that name.
func readList(name string) ([]string, error) {
	file := os.Stdin
	if name != "-" {
		var err error
		if file, err = os.Open(name); err != nil {
			return nil, err
		}
		defer file.Close()
	}
	var urls []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
			urls = append(urls, line)
		}
	}
	return urls, lines.Err()
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is not an http or https URL", s)
	}
	return nil
}
