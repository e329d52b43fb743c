-- prices: every price vector
select hash, version, provider, model, vector from prices
