set -e
node check.ts
! grep -n userName user.ts load.ts
printf '[\n  { "id": 1, "login": " ada " },\n  { "id": 2, "login": "userName" }\n]\n' | cmp - users.json
cmp check.ts /check/check.ts
