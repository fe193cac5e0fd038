cmp check.sh /check/given.sh && [ "$(cat train.txt)" = 'The train leaves at nine' ]
