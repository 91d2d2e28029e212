"""Plain English to hold a domain's words against: everyday sentences, written for this purpose."""

PLAIN = """\
Good morning. I hope you had a pleasant weekend and that the weather was kind to you. We went for
a long walk by the river with the children, and on the way home we stopped for tea and a piece of
cake in the small shop at the corner of our street. The owner has known our family for many years,
and he always asks how my mother is doing. She is well, thank you, although her knee still hurts
when she climbs the stairs in the evening.

My neighbour wants to sell his old car because he hardly ever drives it. He says that it costs him
more every year, and that the bus takes him wherever he needs to go. I told him to wait until
spring, when people begin to think about their holidays again and are ready to pay a better price.
He laughed and said that by then the car might not start at all.

Last night the lights went out in the whole building for about an hour. We found some candles in
the kitchen, sat around the table and told each other stories until everything came back on. It
was a lovely evening, and nobody missed the television. Perhaps we should do this more often, even
when there is nothing wrong with the power.

The school has asked all parents to bring something to eat on Friday. If you have time, could you
help me carry the chairs into the garden? It should not take long. The teacher will show us where
to put them, and afterwards there is a short talk about the plans for next year. I would like to
hear what they have in mind for the older pupils, and whether there will be enough room for
everyone.
"""
