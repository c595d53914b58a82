package httppipe

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestZeroInstantIsLongBeforeAllOthers(t *testing.T) {
	const long = 10 * 365 * 24 * time.Hour
	require.Greater(t, clock().Sub(instant(0)), long)
	require.True(t, clock().After(instant(0)))
	synctest.Test(t, func(t *testing.T) {
		began := clock()
		require.Greater(t, began.Sub(instant(0)), long)
		time.Sleep(time.Hour)
		require.Equal(t, time.Hour, clock().Sub(began))
		require.Positive(t, began.Add(long).Sub(instant(0)), "no overflow")
	})
}
