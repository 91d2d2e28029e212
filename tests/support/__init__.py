"""What several tests share: studies, models, servers and strategies made for them."""
