package read

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/howdah/howdah/storage"
)

// TestExpired asks for revisions whose history is gone.
func TestExpired(t *testing.T) {
	// No history in memory, so that all of it comes from the database.
	s := newServer(t, storage.Options{RecentBytes: 1})
	h := s.listen()
	s.createPods(10)
	var first corev1.PodList
	if err := json.Unmarshal(s.must("/api/v1/pods?limit=4"), &first); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		s.create(pods(), pod(100+i))
	}
	if _, err := s.driver.Compact(context.Background(), time.Now().Add(time.Hour), 1000); err != nil {
		t.Fatal(err)
	}
	expired := func(query string) metav1.Status {
		t.Helper()
		w := s.ask("/api/v1/pods?" + query)
		var status metav1.Status
		if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		if w.Code != http.StatusGone || status.Reason != metav1.StatusReasonExpired {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
		return status
	}
	if s := expired("resourceVersionMatch=Exact&resourceVersion=5"); s.Message != "The resourceVersion for the provided list is too old." {
		t.Error(s.Message)
	}
	status := expired("limit=4&continue=" + url.QueryEscape(first.Continue))
	if !apierrors.IsResourceExpired(&apierrors.StatusError{ErrStatus: status}) || status.Continue == "" {
		t.Fatalf("%+v", status)
	}
	var rest corev1.PodList
	if err := json.Unmarshal(s.must("/api/v1/pods?continue="+url.QueryEscape(status.Continue)), &rest); err != nil {
		t.Fatal(err)
	}
	if len(rest.Items) != 16 || rest.ResourceVersion != "20" {
		t.Errorf("%d items at %s", len(rest.Items), rest.ResourceVersion)
	}
	openStream(t, h, "/api/v1/pods?watch=true&resourceVersion=5", jsonType).
		want("ERROR 410 Expired The resourceVersion for the provided watch is too old.", "end")
}

// TestContinueLife goes on with a list that began too long ago, though history
// still has its revision.
func TestContinueLife(t *testing.T) {
	s := newServer(t, storage.Options{})
	s.createPods(10)
	goOn := func(token string) (int, metav1.Status) {
		w := s.ask("/api/v1/pods?limit=4&continue=" + url.QueryEscape(token))
		var status metav1.Status
		if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		return w.Code, status
	}
	var first corev1.PodList
	if err := json.Unmarshal(s.must("/api/v1/pods?limit=4"), &first); err != nil {
		t.Fatal(err)
	}
	if code, status := goOn(first.Continue); code != http.StatusOK || began(status.Continue) != began(first.Continue) {
		t.Fatalf("%d %+v", code, status)
	}
	data, err := base64.RawURLEncoding.DecodeString(first.Continue)
	if err != nil {
		t.Fatal(err)
	}
	var token continueToken
	if err := json.Unmarshal(data, &token); err != nil {
		t.Fatal(err)
	}
	token.Began -= int64(continueLife/time.Second) + 1
	if data, err = json.Marshal(token); err != nil {
		t.Fatal(err)
	}
	code, status := goOn(base64.RawURLEncoding.EncodeToString(data))
	if code != http.StatusGone || status.Reason != metav1.StatusReasonExpired || status.Continue == "" {
		t.Fatalf("%d %+v", code, status)
	}
	if code, status = goOn(status.Continue); code != http.StatusOK || time.Since(began(status.Continue)) > time.Minute {
		t.Errorf("%d %+v", code, status)
	}
}
