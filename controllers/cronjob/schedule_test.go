package cronjob

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t
}

func aCronJob(schedule, created string, change ...func(*batchv1.CronJob)) *batchv1.CronJob {
	j := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "tick", CreationTimestamp: metav1.NewTime(at(created))}}
	j.Spec.Schedule = schedule
	for _, c := range change {
		c(j)
	}
	return j
}

func ran(text string) func(*batchv1.CronJob) {
	return func(j *batchv1.CronJob) { j.Status.LastScheduleTime = &metav1.Time{Time: at(text)} }
}
func within(seconds int64) func(*batchv1.CronJob) {
	return func(j *batchv1.CronJob) { j.Spec.StartingDeadlineSeconds = &seconds }
}
func zone(name string) func(*batchv1.CronJob) {
	return func(j *batchv1.CronJob) { j.Spec.TimeZone = &name }
}

func TestDue(t *testing.T) {
	for _, test := range []struct {
		name string
		job  *batchv1.CronJob
		now  string
		due  string
		many bool
		next time.Duration
	}{
		{"not yet", aCronJob("0 * * * *", "2026-01-02 10:00:00"), "2026-01-02 10:30:00", "", false, 30 * time.Minute},
		{"now", aCronJob("0 * * * *", "2026-01-02 10:30:00"), "2026-01-02 11:00:00", "2026-01-02 11:00:00", false, time.Hour},
		{"done", aCronJob("0 * * * *", "2026-01-02 09:30:00", ran("2026-01-02 11:00:00")), "2026-01-02 11:00:01", "", false, time.Hour - time.Second},
		{"late", aCronJob("0 * * * *", "2026-01-02 10:30:00"), "2026-01-02 11:59:00", "2026-01-02 11:00:00", false, time.Minute},
		{"missed some, the last counts", aCronJob("0 * * * *", "2026-01-02 01:30:00"), "2026-01-02 11:10:00", "2026-01-02 11:00:00", false, 50 * time.Minute},
		{"missed very many", aCronJob("* * * * *", "2025-01-02 01:30:00"), "2026-01-02 11:10:30", "2026-01-02 11:10:00", true, 30 * time.Second},
		{"within the deadline", aCronJob("0 * * * *", "2026-01-01 01:30:00", within(600)), "2026-01-02 11:09:59", "2026-01-02 11:00:00", false, 50*time.Minute + time.Second},
		{"past the deadline", aCronJob("0 * * * *", "2026-01-01 01:30:00", within(600)), "2026-01-02 11:10:01", "", false, 50*time.Minute - time.Second},
		{"in a zone", aCronJob("0 9 * * *", "2026-01-01 00:00:00", zone("America/New_York"), ran("2026-01-01 14:00:00")), "2026-01-02 14:00:00", "2026-01-02 14:00:00", false, 24 * time.Hour},
		{"across the change to summer time", aCronJob("0 9 * * *", "2026-03-01 00:00:00", zone("America/New_York"), ran("2026-03-07 14:00:00")), "2026-03-08 13:30:00", "2026-03-08 13:00:00", false, 23*time.Hour + 30*time.Minute},
		{"uneven: on workdays", aCronJob("0 9 * * 1-5", "2026-01-01 00:00:00", ran("2026-01-08 09:00:00")), "2026-01-12 10:00:00", "2026-01-12 09:00:00", false, 23 * time.Hour},
		{"uneven: the first gap is the longest", aCronJob("0 9 * * 1,2", "2026-01-01 00:00:00", ran("2026-01-05 09:00:00")), "2026-01-13 10:00:00", "2026-01-13 09:00:00", false, 5*24*time.Hour + 23*time.Hour},
		{"never", aCronJob("0 0 31 2 *", "2026-01-01 00:00:00"), "2026-01-02 00:00:00", "", false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			schedule, err := scheduleOf(&test.job.Spec)
			if err != nil {
				t.Fatal(err)
			}
			got, many, err := due(test.job, schedule, at(test.now))
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			if !got.IsZero() {
				text = got.UTC().Format("2006-01-02 15:04:05")
			}
			if text != test.due || many != test.many {
				t.Errorf("due %q, many %v", text, many)
			}
			if test.next > 0 {
				if next := untilNext(test.job, schedule, at(test.now)); next != test.next+slack {
					t.Errorf("next in %v", next)
				}
			}
		})
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add("0 * * * *", "Europe/Rome", int64(1000))
	f.Add("TZ=0", "", int64(0))
	f.Add("@every 1ns", "", int64(99))
	f.Fuzz(func(t *testing.T, text, zone string, ago int64) {
		spec := batchv1.CronJobSpec{Schedule: text}
		if zone != "" {
			spec.TimeZone = &zone
		}
		schedule, err := scheduleOf(&spec)
		if err != nil {
			return
		}
		now := at("2026-01-02 00:00:00")
		since := now.Add(-time.Duration(max(0, min(ago, 1<<22))) * time.Second)
		last, _, err := latest(schedule, since, now)
		if err == nil && !last.IsZero() && (last.After(now) || !last.After(since)) {
			t.Fatalf("%q: %v is not between %v and %v", text, last, since, now)
		}
	})
}

func TestOldest(t *testing.T) {
	var jobs []*batchv1.Job
	for i, kind := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed, batchv1.JobComplete, "", batchv1.JobComplete} {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i)}}
		j.Status.StartTime = &metav1.Time{Time: at("2026-01-02 00:00:00").Add(-time.Duration(i) * time.Hour)}
		if kind != "" {
			j.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue}}
		}
		jobs = append(jobs, j)
	}
	if got := oldest(jobs, batchv1.JobComplete, 1); len(got) != 2 || got[0].Name != "4" || got[1].Name != "2" {
		t.Errorf("%v", got)
	}
	if got := oldest(jobs, batchv1.JobFailed, 1); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestNewJob(t *testing.T) {
	c := aCronJob("* * * * *", "2026-01-02 00:00:00", zone("Asia/Tokyo"))
	c.Spec.JobTemplate.Annotations = map[string]string{"mine": "yes"}
	c.Spec.JobTemplate.Spec.Parallelism = ptr.To[int32](3)
	j, err := newJob(c, "tick-1", at("2026-01-02 00:00:00"))
	if err != nil {
		t.Fatal(err)
	}
	if j.Annotations[batchv1.CronJobScheduledTimestampAnnotation] != "2026-01-02T09:00:00+09:00" || j.Annotations["mine"] != "yes" || *j.Spec.Parallelism != 3 || len(c.Spec.JobTemplate.Annotations) != 1 {
		t.Errorf("%+v", j)
	}
}
