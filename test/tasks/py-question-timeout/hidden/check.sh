printf '%s' "$ANSWER" | grep -Eq '(^|[^0-9.])45([^0-9]|$)' || exit 1
! printf '%s' "$ANSWER" | grep -Eq '^(30|90|15) '
