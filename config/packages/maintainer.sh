# What installing, upgrading and removing do beside placing files, for both formats: `build` appends the lines that
# distinguish dpkg's and rpm's calls.
#
# A package is never left half installed for the sake of the service: what fails here is reported, and the daemon's
# own `Restart=always` keeps trying.

config=/etc/mirrorvip/mirrorvip.toml
units="mirrorvip.socket mirrorvip.service"

# In a chroot, or while an image is built, there is no systemd to talk to.
booted() {
    [ -d /run/systemd/system ]
}

say() {
    echo "mirrorvip: $*" >&2
}

# After the files of a first or a later version are in place. Nothing is enabled, and only what runs is restarted.
configured() {
    systemd-sysusers mirrorvip.conf
    if booted; then
        systemctl daemon-reload
        restart
    fi
    systemctl --quiet is-enabled mirrorvip.service 2>/dev/null || next_steps
}

# The socket stays active: checks that come meanwhile wait in its queue for the new process.
restart() {
    # A configuration that the new version refuses would end a service that works. `iam-policy` reads it and asks no
    # service; 78 says that it is refused, or gone, and nothing else does.
    status=0
    problems=$(timeout 10 mirrorvip iam-policy --config "$config" 2>&1 >/dev/null) || status=$?
    if [ "$status" -eq 78 ] && systemctl --quiet is-active mirrorvip.service; then
        say "not restarted, the earlier version keeps running: this version refuses $config"
        printf '%s\n' "$problems" >&2
        say "correct it, then: sudo systemctl restart mirrorvip"
        return
    fi
    systemctl try-restart mirrorvip.service || say "failed to restart: see journalctl -u mirrorvip"
}

next_steps() {
    cat <<'END'
mirrorvip is installed and not enabled. What to do next:
  sudo usermod -aG irisusr mirrorvip
  sudo install -m 640 -g mirrorvip /etc/mirrorvip/mirrorvip.toml.example /etc/mirrorvip/mirrorvip.toml
  sudoedit /etc/mirrorvip/mirrorvip.toml
  sudo -u mirrorvip mirrorvip check
  sudo systemctl enable --now mirrorvip.socket mirrorvip.service
Each step is explained in /usr/share/doc/mirrorvip/docs/install.md.
END
}

# Before the files go. Both units at once, or a check that comes between would start the service again.
leaving() {
    if booted; then
        systemctl --quiet disable --now $units || say "failed to stop $units"
    else
        systemctl --quiet disable $units || :
    fi
}

# After the files went. Configuration, state and user stay.
left() {
    if booted; then
        systemctl daemon-reload
        systemctl --quiet reset-failed $units 2>/dev/null || :
    fi
}

# Everything else, for dpkg's purge. The user owned the state and nothing else, so its number may be given to another.
purged() {
    rm -rf /etc/mirrorvip /var/lib/mirrorvip
    rm -rf /etc/systemd/system/mirrorvip.service.d /etc/systemd/system/mirrorvip.socket.d
    if getent passwd mirrorvip >/dev/null; then
        userdel mirrorvip || say "failed to delete the user mirrorvip"
    fi
    if getent group mirrorvip >/dev/null; then
        groupdel mirrorvip || say "failed to delete the group mirrorvip"
    fi
    left
}
