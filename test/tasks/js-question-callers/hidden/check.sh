has() { case "$ANSWER" in *"$1"*) return 0;; esac; return 1; }
has save && has sync && ! has cart.js && ! has notes.js && ! has menu.js
