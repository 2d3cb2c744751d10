"""The model, for model directories that label-studio-ml 2.x made itself (`label-studio-ml create`)."""

from label_studio_al.host import model_class

ActiveLearning = model_class()
