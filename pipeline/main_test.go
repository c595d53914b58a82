package pipeline

import (
	"testing"

	"github.com/httppipe/httppipe/internal/pipetest"
)

func TestMain(m *testing.M) {
	poison = true
	pipetest.Main(m)
}
