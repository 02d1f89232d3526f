#!/bin/sh
# Three hosts, each with a network and mounts of its own; called inside namespaces of its own, by hosts.ts.
# Prints a process of each; all ends when stdin does. usage: hosts.sh FOLDER
set -eu
folder=$1

# Sockets and locks of the machine's own services are not for these hosts.
mount -t tmpfs none /run
mkdir /run/netns /run/lock
# What registries and runtimes keep.
mount -t tmpfs none "$folder/memory"

# A process that holds the mounts of each: a mount namespace cannot be relied on to be bound to a file.
holders=
for host in inet jump air; do
  touch "/run/netns/$host"
  unshare --net="/run/netns/$host" --mount sh -euc '
    ip link set lo up
    for file in hosts resolv.conf; do mount --bind "$1/$file" "/etc/$file"; done
    # The configuration of podman and skopeo.
    if [ -d /etc/containers ]; then mount --bind "$1/containers" /etc/containers; fi
    touch "/run/$0"
    exec sleep infinity
  ' "$host" "$folder/$host" &
  until [ -e "/run/$host" ]; do kill -0 $!; sleep 0.01; done
  holders="$holders $!"
done
on() { nsenter --net="/run/netns/$1" -- sh -euc "$2"; }

# From jump the proxy can be reached, and nothing behind it.
on jump "ip link add inet type veth peer name jump netns inet"
on jump "ip addr add 192.0.2.1/30 dev inet; ip link set inet up"
on inet "ip addr add 192.0.2.2/30 dev jump; ip link set jump up; ip addr add 198.51.100.10/32 dev lo"

# From air everything has a way out as far as the routing table knows; what takes it is counted, and refused at once.
on air "ip link add out type veth peer name nowhere; ip link set nowhere up; ip link set out up
        ip addr add 192.0.2.10/24 dev out; ip route add default dev out
        iptables --append OUTPUT --out-interface lo --jump ACCEPT
        iptables --append OUTPUT --jump REJECT"

echo "$holders"
exec cat >/dev/null
