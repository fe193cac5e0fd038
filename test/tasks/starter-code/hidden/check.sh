case "$ANSWER" in *7302*) ;; *) exit 1;; esac
