package builtin

import (
	"net/http"
	"slices"

	"k8s.io/apiserver/pkg/registry/rest"
)

// verbs are those that a storage's interfaces give it, as discovery shows
// them. A storage that takes connections shows the verbs of the HTTP methods
// that it takes.
func verbs(storage rest.Storage) []string {
	var verbs []string
	add := func(verb string, implemented bool) {
		if implemented && !slices.Contains(verbs, verb) {
			verbs = append(verbs, verb)
		}
	}
	_, creates := storage.(rest.Creater)
	_, createsNamed := storage.(rest.NamedCreater)
	_, gets := storage.(rest.Getter)
	_, getsWithOptions := storage.(rest.GetterWithOptions)
	_, lists := storage.(rest.Lister)
	_, watches := storage.(rest.Watcher)
	_, updates := storage.(rest.Updater)
	_, patches := storage.(rest.Patcher)
	_, deletes := storage.(rest.GracefulDeleter)
	_, deletesCollections := storage.(rest.CollectionDeleter)
	add("create", creates || createsNamed)
	add("get", gets || getsWithOptions)
	add("list", lists)
	add("watch", watches)
	add("update", updates)
	add("patch", patches)
	add("delete", deletes)
	add("deletecollection", deletesCollections)
	if connecter, ok := storage.(rest.Connecter); ok {
		for _, method := range connecter.ConnectMethods() {
			verb, shown := connectVerbs[method]
			add(verb, shown)
		}
	}
	slices.Sort(verbs)
	return verbs
}

var connectVerbs = map[string]string{
	http.MethodGet:    "get",
	http.MethodPost:   "create",
	http.MethodPut:    "update",
	http.MethodPatch:  "patch",
	http.MethodDelete: "delete",
}
