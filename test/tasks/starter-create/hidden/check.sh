[ "$(cat garden.txt)" = 'Roses grow by the wall' ]
