[ "$(cat market.txt)" = 'Apples are cheap on Friday' ]
