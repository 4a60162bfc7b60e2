package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// testMark begins the payload of the self-test's notification; all others
	// are the origin of a batch.
	testMark = "test:"
	// testTimeout is how long the self-test's notification may take.
	testTimeout = 2 * time.Second
	// quietTime without notifications, after which the connection is tried.
	quietTime = 5 * time.Second
	// pollEvery is how often the revision is asked for without notifications,
	// and pollFor how long until they are tried again.
	pollEvery = 50 * time.Millisecond
	pollFor   = 5 * time.Minute
	// The pause before a new connection grows from the first to the second.
	firstPause = 50 * time.Millisecond
	longPause  = 2 * time.Second
)

var errNoNotifications = errors.New("no notification arrived")

// Listen wakes when another server committed, see [storage.Driver].
func (d *Driver) Listen(ctx context.Context, wake func()) {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(d.closing, cancel)()

	var watching sync.WaitGroup
	watching.Go(func() { d.wakeWhenLost(ctx, wake) })
	defer func() { cancel(); watching.Wait() }()

	warned := false
	pause := firstPause
	for ctx.Err() == nil {
		listening, err := d.listen(ctx, wake)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNoNotifications):
			if !warned {
				d.logger.Warn("PostgreSQL's notifications don't arrive, so other servers' writes are asked for instead; "+
					"give an endpoint without a transaction pooler for faster watches", "every", pollEvery)
				warned = true
			}
			d.poll(ctx, wake)
			continue
		case listening:
			pause = firstPause
			d.logger.Warn("Lost the connection that listens for other servers' writes; connecting again", "error", err)
		default:
			d.logger.Debug("Can't listen for other servers' writes", "error", err, "again in", pause)
		}
		wait(ctx, pause)
		pause = min(2*pause, longPause)
	}
}

// listen returns when its connection fails. It says whether it came to listen.
func (d *Driver) listen(ctx context.Context, wake func()) (listening bool, err error) {
	connecting, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, d.config.ConnConfig.Copy())
	if err != nil {
		return false, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(closing)
	}()
	if _, err := conn.Exec(connecting, d.queries.Listen); err != nil {
		return false, err
	}
	if err := d.selfTest(ctx, conn); err != nil {
		return false, err
	}
	d.logger.Debug("Listening for other servers' writes")
	wake()
	return true, d.heed(ctx, conn, wake)
}

// selfTest proves that notifications arrive.
func (d *Driver) selfTest(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	payload := testMark + rand.Text()
	if _, err := d.pool.Exec(ctx, d.queries.Notify, payload); err != nil {
		return err
	}
	for {
		notification, err := conn.WaitForNotification(ctx)
		switch {
		case err != nil && ctx.Err() != nil && conn.Ping(context.WithoutCancel(ctx)) == nil:
			return errNoNotifications
		case err != nil:
			return err
		case notification.Payload == payload:
			return nil
		}
	}
}

// heed wakes for each notification that brings news.
func (d *Driver) heed(ctx context.Context, conn *pgx.Conn, wake func()) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, quietTime)
		notification, err := conn.WaitForNotification(waiting)
		quiet := waiting.Err() != nil
		cancel()
		switch {
		case err == nil:
			if d.news(notification.Payload) {
				wake()
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case !quiet:
			return err
		default:
			if err := ping(ctx, conn); err != nil {
				return err
			}
		}
	}
}

// news says whether a notification tells of more than this server's own,
// acknowledged batches.
func (d *Driver) news(payload string) bool {
	if strings.HasPrefix(payload, testMark) {
		return false
	}
	own := d.origin.Load()
	return own == nil || *own != payload
}

func ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	return conn.Ping(ctx)
}

// poll asks for the revision and wakes when it moved.
func (d *Driver) poll(ctx context.Context, wake func()) {
	ctx, cancel := context.WithTimeout(ctx, pollFor)
	defer cancel()
	wake()
	last := int64(-1)
	for wait(ctx, pollEvery) {
		var revision int64
		err := d.try(ctx, "poll", callTimeout, func(ctx context.Context) error {
			return d.pool.QueryRow(ctx, d.queries.Revision).Scan(&revision)
		})
		if err != nil {
			d.logger.Debug("Polling failed", "error", err)
			continue
		}
		if revision != last {
			last = revision
			wake()
		}
	}
}

// wakeWhenLost wakes after a commit failed: it may have been applied, and its
// notification may have been taken for old news.
func (d *Driver) wakeWhenLost(ctx context.Context, wake func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.lost:
			wake()
		}
	}
}

// wait says whether the time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
