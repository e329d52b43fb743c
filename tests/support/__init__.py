"""What tests across packages share: real servers in processes of their own, and a project for each test."""
