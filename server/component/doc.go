// Package component owns what the scheduler and the controllers have in common
// as clients of the API: being the one that works ([Lead]), and informers that
// those of one process share and that run only while somebody uses them
// ([Informers]).
package component
