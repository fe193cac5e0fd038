cmp plan.txt draft.txt
