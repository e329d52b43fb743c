"""Whether there is money: the most that an attempt can cost is set aside, or the attempt is refused."""
