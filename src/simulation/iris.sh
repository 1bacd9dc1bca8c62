#!/bin/sh
# A stand-in for the `iris` command of InterSystems IRIS; written by mirrorvip's simulation.
#
# Like the real one: `iris qlist [INSTANCE]` prints a line for each instance, fields separated by `^`, needs no
# login, and exits 0. Unlike it: it reads the lines from the file `qlist` beside it, where the real one
# reads shared memory; it knows no other subcommand; and what the real one prints and exits with for an
# instance that does not exist is not documented: this one prints nothing and exits 1.
#
# The file `mode` beside it says how it misbehaves. The ordinary way uses builtins of the shell only, so that
# one call costs one process. Whatever waits ends when the mode changes or the directory is removed.

here=${0%/*}
instance=$2

answer() {
    found=1
    while IFS= read -r line; do
        case $line in
        "${instance:+$instance^}"*) printf '%s\n' "$line" && found=0 ;;
        esac
    done <"$here/qlist"
    return $found
}

wait_for_another_mode() {
    while read -r present _ <"$here/mode" && [ "$present" = "$mode" ]; do sleep 0.2; done 2>/dev/null
}

case $1 in
qlist) ;;
selftest) exit 0 ;;
*) echo 'this simulated iris knows qlist only' >&2 && exit 2 ;;
esac

read -r mode argument <"$here/mode" || exit 3
case $mode in
answer) answer ;;
slow) sleep "$argument" && answer ;;
hang) wait_for_another_mode && answer ;;
corrupt) printf '\033]0;owned\007\377\376 ^^ no line\t^of this^\r\n^^^^^^^^^^^^^^\n' ;;
flood) while printf '%1024s\n' x; do :; done ;;
nothing) : ;;
die) kill -KILL $$ ;;
grandchild)
    wait_for_another_mode &
    answer
    ;;
exit) echo 'the simulated iris fails as it was told' >&2 && exit "$argument" ;;
*) echo "unknown mode $mode" >&2 && exit 3 ;;
esac
