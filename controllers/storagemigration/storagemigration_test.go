package storagemigration

import (
	"testing"
	"time"

	migrationv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNext(t *testing.T) {
	secrets := metav1.GroupResource{Resource: "secrets"}
	made := func(name string, age int, resource metav1.GroupResource, conditions ...migrationv1.MigrationConditionType) *migrationv1.StorageVersionMigration {
		m := &migrationv1.StorageVersionMigration{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Unix(1000-int64(age), 0)},
			Spec:       migrationv1.StorageVersionMigrationSpec{Resource: resource},
		}
		for _, c := range conditions {
			m.Status.Conditions = append(m.Status.Conditions, metav1.Condition{Type: string(c), Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Unix(1, 0))})
		}
		return m
	}
	const runs, succeeded, failed = migrationv1.MigrationRunning, migrationv1.MigrationSucceeded, migrationv1.MigrationFailed
	type migrations = []*migrationv1.StorageVersionMigration
	for _, test := range []struct {
		name string
		all  migrations
		over string
		now  string
	}{
		{"none", nil, "", ""},
		{"another resource's", migrations{made("a", 1, metav1.GroupResource{Resource: "pods"})}, "", ""},
		{"the eldest", migrations{made("a", 1, secrets), made("b", 2, secrets)}, "", "b"},
		{"of equal age by name", migrations{made("b", 1, secrets), made("a", 1, secrets)}, "", "a"},
		{"one that runs goes on", migrations{made("a", 9, secrets), made("b", 2, secrets, runs)}, "", "b"},
		{"ended ones are over, and done", migrations{made("a", 9, secrets, runs, succeeded), made("b", 2, secrets, runs, failed), made("c", 1, secrets), made("d", 3, secrets, succeeded)}, "ab", "c"},
	} {
		over, now := next(test.all, secrets)
		names := ""
		for _, m := range over {
			names += m.Name
		}
		name := ""
		if now != nil {
			name = now.Name
		}
		if names != test.over || name != test.now {
			t.Errorf("%s: %q is over and %q is next, want %q and %q", test.name, names, name, test.over, test.now)
		}
	}
}
