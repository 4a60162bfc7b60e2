package objects

import "testing"

func TestWritten(t *testing.T) {
	x := upstream{"protobuf", databases()[0]}.setup(t)
	ctx, written := WithWritten(x.ctx)
	if written.Object() != nil {
		t.Fatal("something was written")
	}
	if err := x.Create(ctx, "/pods/ns/a", newPod("a"), nil, 0); err != nil {
		t.Fatal(err)
	}
	created := written.Object()
	if created == nil || created.Key != "/registry/pods/ns/a" || created.Revision != x.bytes.Revision() {
		t.Fatalf("%+v", created)
	}
	relabel("new")(t, x)
	if written.Object() != created {
		t.Fatal("it remembers what another request wrote")
	}
}
