package cronjob

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
)

const (
	// manyMissed is how many missed times are worth a warning.
	manyMissed = 100
	// slack is added to the time until the next run, so that it is reached.
	slack = 100 * time.Millisecond
)

// scheduleOf reads a CronJob's schedule, in its time zone
// (https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax).
func scheduleOf(spec *batchv1.CronJobSpec) (schedule cron.Schedule, err error) {
	text := spec.Schedule
	if spec.TimeZone != nil && !namesZone(text) {
		text = fmt.Sprintf("TZ=%s %s", *spec.TimeZone, text)
	}
	defer func() { // the library panics on some zones without a schedule
		if cause := recover(); cause != nil {
			err = fmt.Errorf("invalid cron schedule: %v", cause)
		}
	}()
	return cron.ParseStandard(text)
}

// namesZone is whether a schedule has a time zone of its own, from before there
// was a field for it.
func namesZone(schedule string) bool { return strings.Contains(schedule, "TZ") }

// due is the last time up to now that a run should have started since the last
// run, or since the CronJob was made, and not longer ago than the starting
// deadline; zero if there is none. many is whether it is the last of very many.
func due(job *batchv1.CronJob, schedule cron.Schedule, now time.Time) (last time.Time, many bool, err error) {
	since := lastLook(job)
	if limit := job.Spec.StartingDeadlineSeconds; limit != nil {
		if earliest := now.Add(-time.Duration(*limit) * time.Second); earliest.After(since) {
			since = earliest
		}
	}
	return latest(schedule, since, now)
}

// untilNext is how long to wait from now for the next time after the last one
// that was due; 0 if there never is one.
func untilNext(job *batchv1.CronJob, schedule cron.Schedule, now time.Time) time.Duration {
	since := lastLook(job)
	last, many, err := latest(schedule, since, now)
	switch {
	case err != nil, last.IsZero() && many:
		last = now
	case last.IsZero():
		last = since
	}
	next := schedule.Next(last)
	if next.IsZero() {
		return 0
	}
	return next.Add(slack).Sub(now)
}

func lastLook(job *batchv1.CronJob) time.Time {
	if job.Status.LastScheduleTime != nil {
		return job.Status.LastScheduleTime.Time
	}
	return job.CreationTimestamp.Time
}

// latest is the last time of a schedule in (since, now]. It doesn't go through
// all of them: a CronJob may have slept for a year.
func latest(schedule cron.Schedule, since, now time.Time) (last time.Time, many bool, err error) {
	first := schedule.Next(since)
	if first.IsZero() || now.Before(first) {
		return time.Time{}, false, nil
	}
	second := schedule.Next(first)
	if second.IsZero() || now.Before(second) {
		return first, false, nil
	}
	between := second.Sub(first).Round(time.Second)
	if between < time.Second {
		return time.Time{}, false, errors.New("time difference between two schedules is less than 1 second")
	}
	missed := int64(now.Sub(first)/between) + 1
	// Schedules aren't even, so begin some before.
	from := first.Add(time.Duration(max(0, missed-2)) * between)
	for t := schedule.Next(from); !t.IsZero() && !t.After(now); t = schedule.Next(t) {
		last = t
	}
	if last.IsZero() && first.Before(now) { // between was larger than the usual gap
		for t := first; !t.IsZero() && !t.After(now); t = schedule.Next(t) {
			last = t
		}
	}
	return last, missed > manyMissed, nil
}
