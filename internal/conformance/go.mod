module github.com/httppipe/httppipe/internal/conformance

go 1.26
