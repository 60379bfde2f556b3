"""The paper's experiment: its systems, budgets, tables and figures, with ours beside them."""
