cmp limits.js /check/limits.js
